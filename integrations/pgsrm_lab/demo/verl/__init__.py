"""The demo on verl: a child learns colours by GRPO with the colocated reward; Lightning's run is beside it."""
