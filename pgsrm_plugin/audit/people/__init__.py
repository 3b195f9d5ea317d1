"""How a reward agrees with people: pairs, ratings and labels; weights fitted to pairs."""
