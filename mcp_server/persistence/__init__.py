"""The store: one transactional database behind plain transaction functions. Knows the domain and nothing else."""
