"""Words that others have for what happened, and to what: data, and nothing else."""

HAPPENED = {
    "added": ("created", "registered"),
    "assigned": ("assigned", "handed_over"),
    "changed": ("set", "edited", "revised"),
    "declined": ("rejected",),
    "denied": ("rejected",),
    "done": ("completed",),
    "edited": ("edited", "set"),
    "finished": ("completed",),
    "granted": ("approved",),
    "locked": ("acquired",),
    "modified": ("set", "edited"),
    "removed": ("deleted", "discarded"),
    "saved": ("set",),
    "started": ("claimed", "started"),
    "unlocked": ("released",),
    "updated": ("set", "edited", "revised"),
    "written": ("set",),
}
"""Words that others have for what happened."""

THINGS = {"doc": "document", "mail": "email", "state": "document"}
