"""Everything at once: a part per area, and the servers that they call.

That the oracle of each part notices what it looks for is shown by `test_chaos_oracle`.
"""
