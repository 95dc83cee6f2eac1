"""The verb `prefetch`: brings what the cells of a command need from the Hub into the cache.

python -m rlvr_sweep prefetch -m model=qwen2.5_math_7b,llama3.1_8b data=deepscaler eval=paper
"""

from pathlib import Path

from rlvr_sweep.parser import Parser


def main(argv: list[str]) -> int:
    """Compose the cells of these overrides, as a run would, and fetch their Hub datasets and models."""
    parser = Parser(
        prog="python -m rlvr_sweep prefetch",
        description="Brings the Hub datasets and models of these cells into the cache (HF_HOME). Run it on a node with "
        "network and give it the overrides of the run; then run that with HF_HUB_OFFLINE=1.",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="the overrides of the run")
    parser.add_argument("-m", "--multirun", action="store_true", help="several values span a grid: model=a,b")
    parser.add_argument("-cd", "--config-dir", type=Path, metavar="DIR", help="a configuration tree of your own")
    args = parser.parse_intermixed_args(argv)

    from rlvr_sweep.config.compose import compose_or_refuse
    from rlvr_sweep.data.prefetch import prefetch

    cells = [c.cell for c in compose_or_refuse(args.overrides, multirun=args.multirun, config_dir=args.config_dir)]
    sources = [("data", cell.data) for cell in cells]
    sources += [(f"eval.benchmarks.{name}", bench) for cell in cells for name, bench in cell.eval.benchmarks.items()]
    prefetch(sources, [cell.model for cell in cells])
    return 0
