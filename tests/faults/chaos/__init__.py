"""Everything at once: a part per area, and the servers that they call.

Planted in the product, one after the other, and each found: an acknowledged batch rolled back, an update lost, a claim
or a lock given twice, a fencing number that falls, a message delivered twice or not at all, two answers to a question,
a mail sent twice, a schedule that fires twice, an event that is missing, a lease that is never handed on.
"""
