"""What proves the reward: tasks, demos, benchmarks and the reproduction. It may import every integration."""
