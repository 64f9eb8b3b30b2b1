"""Where tokens come from: vLLM, transformers, or stored traces.

:mod:`base` says what an engine is; each other module is one engine. Heavy libraries are
imported when an engine is opened, not before.
"""
