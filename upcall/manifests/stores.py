"""Where records are: what of it may be read by all, and what is secret."""

from typing import Any

from upcall.manifests.wanted import Wanted

_DATABASES = {"WhiskAuth": "subjects", "WhiskEntity": "whisks", "WhiskActivation": "activations"}


def place(wanted: Wanted) -> dict[str, Any]:
    """Of the CouchDB that deployments of 2017 had; a URL is in the secret as a whole."""
    if wanted.store or wanted.secret:
        return {}
    names = {f"CONFIG_whisk_couchdb_databases_{key}": f"openwhisk_kube_{name}" for key, name in _DATABASES.items()}
    return {
        "CONFIG_whisk_couchdb_protocol": "http",
        "CONFIG_whisk_couchdb_host": f"couchdb.{wanted.namespace}",
        "CONFIG_whisk_couchdb_port": "5984",
        **names,
    }


def credentials(wanted: Wanted) -> dict[str, Any]:
    store = {
        "CONFIG_whisk_couchdb_username": "couch_user",
        "CONFIG_whisk_couchdb_password": "couch_password",
    }
    return {**({"UPCALL_STORE": wanted.store} if wanted.store else store), "UPCALL_OPERATOR_PASSWORD": "invoker.pass"}
