"""Searches that train many candidates: the networks of section 4 and the scaling coefficients."""
