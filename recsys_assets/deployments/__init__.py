"""One graph, several deployments: `table.py` says what each of them does its own way.

What belongs here: resources, executor and step sizes that follow from `settings.deployment`. What
does not: single values, which are defaults of the settings, and manifests, which are in `k8s/`.
"""
