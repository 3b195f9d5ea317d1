"""Rewards of single responses, while the rollout goes on: verl's reward managers."""
