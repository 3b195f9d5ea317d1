"""A tiny child learns to explain, in the three stages of Semantic GRPO, and one page shows what each stage did."""
