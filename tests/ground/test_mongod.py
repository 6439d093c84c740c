from __future__ import annotations

from collections.abc import Iterator

import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, DuplicateKeyError, OperationFailure

from tests.servers.mongod import Credentials, MongodServer

DATABASE = "ground"


@pytest.fixture(scope="module")
def own_mongod() -> Iterator[MongodServer]:
    """For tests that stop it: other tests keep theirs undisturbed."""
    server = MongodServer()
    try:
        yield server.start()
    finally:
        server.close()


def test_a_connection_without_tls_is_refused(mongod: MongodServer) -> None:
    with (
        MongoClient[dict[str, object]](
            mongod.host, mongod.port, directConnection=True, serverSelectionTimeoutMS=500
        ) as client,
        pytest.raises(ConnectionFailure),
    ):
        client.admin.command("hello")


def test_a_certificate_of_an_unknown_authority_is_refused(mongod: MongodServer) -> None:
    with (
        MongoClient[dict[str, object]](
            mongod.host, mongod.port, directConnection=True, tls=True, serverSelectionTimeoutMS=500
        ) as client,
        pytest.raises(ConnectionFailure, match="certificate verify failed"),
    ):
        client.admin.command("hello")


def test_a_wrong_password_is_refused(mongod: MongodServer) -> None:
    with (
        mongod.client(Credentials(mongod.app.user, "wrong")) as client,
        pytest.raises(OperationFailure) as refusal,
    ):
        client[DATABASE].things.find_one()
    assert refusal.value.code == 18


def test_nobody_reads_without_a_login(mongod: MongodServer) -> None:
    with (
        MongoClient[dict[str, object]](mongod.url) as client,
        pytest.raises(OperationFailure) as refusal,
    ):
        client[DATABASE].things.find_one()
    assert refusal.value.code == 13


def test_the_analytics_role_reads_and_never_writes(mongod: MongodServer) -> None:
    with mongod.client(mongod.app) as writer, mongod.client(mongod.analytics) as reader:
        writer[DATABASE].readable.replace_one({"_id": 1}, {"_id": 1}, upsert=True)
        assert reader[DATABASE].readable.find_one({"_id": 1}) == {"_id": 1}
        with pytest.raises(OperationFailure) as refusal:
            reader[DATABASE].readable.insert_one({})
        assert refusal.value.code == 13


def test_the_admin_role_makes_indexes_and_sees_the_replica_set(mongod: MongodServer) -> None:
    with mongod.client(mongod.admin) as client:
        name = client[DATABASE].indexed.create_index("book", unique=True)
        assert name in client[DATABASE].indexed.index_information()
        assert client.admin.command("replSetGetStatus")["set"] == "rs0"


def test_a_transaction_commits_all_or_nothing(mongod: MongodServer) -> None:
    with mongod.client(mongod.app) as client:
        collection = client[DATABASE].transactional
        collection.drop()
        collection.insert_one({"_id": "taken"})
        with client.start_session() as session:
            session.start_transaction()
            collection.insert_one({"_id": "first"}, session=session)
            with pytest.raises(DuplicateKeyError):
                collection.insert_one({"_id": "taken"}, session=session)
            session.abort_transaction()
            assert collection.find_one({"_id": "first"}) is None
            with session.start_transaction():
                collection.insert_one({"_id": "first"}, session=session)
                collection.insert_one({"_id": "second"}, session=session)
        assert collection.count_documents({}) == 3


def test_a_fail_point_makes_a_command_fail_once(mongod: MongodServer) -> None:
    with mongod.client(mongod.root) as root, mongod.client(mongod.app) as client:
        root.admin.command(
            "configureFailPoint",
            "failCommand",
            mode={"times": 1},
            data={"failCommands": ["count"], "errorCode": 96},
        )
        with pytest.raises(OperationFailure) as failure:
            client[DATABASE].things.estimated_document_count()
        assert failure.value.code == 96
        assert client[DATABASE].things.estimated_document_count() == 0


def test_a_restart_keeps_the_data_the_port_and_the_users(own_mongod: MongodServer) -> None:
    port = own_mongod.port
    with own_mongod.client(own_mongod.app) as client:
        client[DATABASE].kept.insert_one({"_id": "before the restart"})
    own_mongod.restart()
    assert own_mongod.port == port
    with own_mongod.client(own_mongod.app) as client:
        assert client[DATABASE].kept.count_documents({"_id": "before the restart"}) == 1


def test_a_kill_loses_no_acknowledged_write(own_mongod: MongodServer) -> None:
    with own_mongod.client(own_mongod.app, w="majority", journal=True) as client:
        client[DATABASE].kept.insert_one({"_id": "before the kill"})
    own_mongod.kill()
    assert not own_mongod.running
    own_mongod.start()
    with own_mongod.client(own_mongod.app) as client:
        assert client[DATABASE].kept.count_documents({"_id": "before the kill"}) == 1
