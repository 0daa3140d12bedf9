"""The controller of StoppableContainer.

Watches the objects, decides, and asks API server and node agents.

Start reading at `__main__` (wiring), then `reconcile` (one key: observe, plan, apply, report).
"""
