#!/bin/bash
# Where deployments of OpenWhisk start an Invoker: /init.sh --id N | --uniqueName NAME …, or /invoker/bin/invoker N as in 2017.
case ${1:-} in '' | *[!0-9]*) ;; *) set -- --id "$@" ;; esac
exec upcall invoker "$@"
