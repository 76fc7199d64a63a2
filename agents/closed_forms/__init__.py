"""Optima that papers give in closed form: oracles of environments and parts of strong heuristics."""
