"""Rows without padding, a prompt once: how the policy evaluates responses to the same prompts.

``rows`` lays prompts and responses out as one sequence, ``attention`` lets each response see its prompt and itself,
``head`` makes log-probabilities and entropies of hidden states without holding the logits.
"""
