"""What runs inside a sandbox for Python actions: the zygote, the confinement of its children, the runtime.

Standard library only and no import of the platform: this folder alone is mounted in the sandbox, as the package
`upcall_runtime`, and is what an image would hold.
"""
