"""The words of a project's configuration, by what this desk does about them. Source: wrangler's reference."""

READ = frozenset(("name", "main", "compatibility_date", "compatibility_flags", "vars", "workers_dev", "no_bundle"))
TOP_LEVEL = ("production", "default")
"""What a deployment's environment is called that means a configuration's top level, where it has environments."""

TAKEN = frozenset(("kv_namespaces", "d1_databases", "triggers", "route", "routes", "env", "define", "rules", "assets"))
ITS_OWN = frozenset(("$schema", "account_id", "dev", "send_metrics", "tsconfig", "first_party_worker"))
PASSED_OVER = frozenset(("observability", "logpush", "minify", "keep_vars", "preview_urls", "upload_source_maps"))
"""What changes nothing in what a Worker answers; a plan says that it is passed over."""

BEYOND = {
    "queues": "queue",
    "r2_buckets": "R2 bucket",
    "durable_objects": "Durable Object",
    "services": "service",
    "ai": "AI",
    "vectorize": "Vectorize index",
    "hyperdrive": "Hyperdrive",
    "workflows": "workflow",
    "browser": "browser",
    "images": "images",
    "analytics_engine_datasets": "Analytics Engine dataset",
    "dispatch_namespaces": "dispatch namespace",
    "mtls_certificates": "mTLS certificate",
    "send_email": "email sender",
    "pipelines": "pipeline",
    "secrets_store_secrets": "secret of the Secrets Store",
    "version_metadata": "version metadata",
    "unsafe": "unsafe",
    "tail_consumers": "tail consumer",
    "migrations": "Durable Object migration",
    "site": "Workers Site",
    "containers": "container",
    "limits": "limits",
    "placement": "placement",
}
"""What Workers can be bound to and this desk does not deploy."""
