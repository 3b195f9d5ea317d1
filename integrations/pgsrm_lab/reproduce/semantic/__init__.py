"""Semantic GRPO (arXiv 2509.13081) put to the test: which reward teaches a child to explain as experts do?"""
