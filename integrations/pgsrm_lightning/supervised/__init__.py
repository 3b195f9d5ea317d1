"""Before the reward: continued pre-training on texts and supervised fine-tuning on answers, in Lightning's own loop.

``examples`` makes token sequences of rows and texts, ``packs`` deals them out by a budget of tokens, ``corpus`` has the
two data modules, ``imitation`` the module that learns.
"""
