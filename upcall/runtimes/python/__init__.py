"""What runs inside a sandbox for Python actions, and for others that are forked: the zygote, the confinement of its
children, the HTTP server, the runtime.

Standard library only and no import of the platform: the folder of all runtimes alone is mounted in the sandbox, as the
package `upcall_runtime`, and is what an image would hold.
"""
