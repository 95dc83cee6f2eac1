"""Problems in: rows from the Hub, a file or the lab, as prompts of token ids, in the order of the whole run.

rows = sources.load(cell.data, key="data")
ready = prompts.prepare(rows.rows, tokenizer=tokenizer, template="chat", max_prompt_tokens=512, key="data")
visits = order.order([row.id for row in ready.rows], rollouts=20, prompts=8, seed=0, repeat=False)
"""
