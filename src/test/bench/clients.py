"""clients: the same work done at the other end of a connection"""

from django.db import transaction

from measure import measure, walk
from report import add_speedup
from server import Account


def django_loop(queryset):
    """Nothing in the loop; in a transaction, where the cursor is an ordinary one."""
    def loop():
        rows = 0
        with transaction.atomic():
            for _ in queryset.iterator(chunk_size=2000):
                rows += 1
        return rows
    return loop


def django_iterator():
    in_plpgsql, native, instances, tuples = measure(
        walk("SELECT id FROM account", "in_plpgsql(bigint)"),
        walk("SELECT * FROM account", "streamiter_native_count(internal)"),
        django_loop(Account.objects.all()),
        django_loop(Account.objects.values_list()))
    add_speedup("PL/pgSQL row callback: speed / Django `iterator(2000)`",
                in_plpgsql, instances, at_least=10)
    add_speedup("native callback, whole rows: speed / Django `iterator(2000)`",
                native, instances, at_least=40)
    add_speedup("PL/pgSQL row callback: speed / `values_list().iterator(2000)`",
                in_plpgsql, tuples)
    add_speedup("native callback, whole rows: speed / `values_list().iterator(2000)`",
                native, tuples)
