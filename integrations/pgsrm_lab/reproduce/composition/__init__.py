"""What a child learns from three terms that pull apart, by how they are made one reward."""
