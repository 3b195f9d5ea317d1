"""The main job: a child learns colour mixing from its parent, offline, in minutes."""
