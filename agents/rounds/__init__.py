"""Rounds of federated learning as environments know them: what they learn, take and cost."""
