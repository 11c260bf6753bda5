"""Databases, topology, configuration, identities, operations, statistics, health: the shapes that clients read."""

from __future__ import annotations

import json

from pynori.runtime import log


def test_discovery(run, open_api) -> None:
    """Build, topologies, node and TCP addresses, with the address that the client used."""

    async def main() -> None:
        async with open_api() as api:
            assert (await api.json("GET", "/build/version"))["ProductVersion"] == "7.2"
            topology = await api.json("GET", "/topology?name=db&first-topology-update&applicationIdentifier=1")
            (node,) = topology["Nodes"]
            assert node["Url"] == "http://node:8080"
            assert (node["ClusterTag"], node["ServerRole"], node["Database"]) == ("A", "Member", "db")
            assert topology["Etag"] > 0
            missing = await api.call("GET", "/topology?name=nowhere")
            assert (missing.status, missing.fields["database-missing"]) == (503, "nowhere")
            cluster = await api.json("GET", "/cluster/topology")
            assert cluster["Topology"]["Members"] == {"A": "http://node:8080"}
            assert (await api.json("GET", "/cluster/node-info"))["NodeTag"] == "A"
            for target in ("/info/tcp?tcp=x", "/databases/db/info/tcp?tag=x"):
                assert (await api.json("GET", target))["Url"] == "tcp://127.0.0.1:4711"
            task = "/info/remote-task/tcp?database=nowhere&remote-task=x&verify-database=true"
            assert (await api.call("GET", task)).status == 503
            assert (await api.json("GET", "/license/status"))["Expired"] is False

    run(main())


def test_databases(run, open_api) -> None:
    """Create, list, read the record, disable, lock, delete."""

    async def main() -> None:
        async with open_api() as api:
            created = await api.json("PUT", "/admin/databases?name=Two&?raft-request-id=1", {}, 201)
            assert created["Name"] == "Two" and created["Topology"]["Members"] == ["A"]
            again = await api.call("PUT", "/admin/databases?name=two", {})
            assert again.status == 409 and "already exists" in json.loads(again.body)["Message"]
            assert (await api.json("GET", "/databases?namesOnly=true"))["Databases"] == ["db", "Two"]
            listed = await api.json("GET", "/databases?start=1&pageSize=5")
            assert [entry["Name"] for entry in listed["Databases"]] == ["Two"]
            assert (await api.json("GET", "/databases?name=TWO"))["Name"] == "Two"
            assert (await api.call("GET", "/databases?name=nowhere")).status == 404
            record = await api.json("GET", "/admin/databases?name=two")
            assert (record["DatabaseName"], record["LockMode"], record["AutoIndexes"]) == ("Two", "Unlock", {})
            assert (await api.call("GET", "/admin/databases?name=nowhere")).status == 404
            names = {"DatabaseNames": ["Two"]}
            status = (await api.json("POST", "/admin/databases/disable", names))["Status"]
            assert status == [{"Name": "Two", "Success": True, "Reason": None, "Disabled": True}]
            refused = await api.call("GET", "/databases/two/stats")
            assert refused.status == 503 and "DatabaseDisabledException" in refused.body.decode()
            await api.json("POST", "/admin/databases/enable", names)
            assert (await api.call("GET", "/databases/two/healthcheck")).status == 204
            lock = {"DatabaseNames": ["Two"], "Mode": "PreventDeletesError"}
            assert (await api.call("POST", "/admin/databases/set-lock", lock)).status == 204
            delete = {"DatabaseNames": ["Two"], "HardDelete": True}
            locked = await api.call("DELETE", "/admin/databases", delete)
            assert "because of the set lock mode" in json.loads(locked.body)["Message"]
            assert (await api.call("POST", "/admin/databases/set-lock", {**lock, "Mode": "Unlock"})).status == 204
            assert (await api.json("DELETE", "/admin/databases", delete))["PendingDeletes"] == []
            assert (await api.json("GET", "/databases?namesOnly=true"))["Databases"] == ["db"]

    run(main())


def test_members_of_a_topology(run, open_api) -> None:
    """The members of a database are put into an order; what is no member, or no database, is refused by name."""

    async def steps() -> None:
        async with open_api() as api:
            order = {"MembersOrder": ["A"], "Fixed": False}
            assert (await api.call("POST", "/admin/databases/reorder?name=db", order)).status == 200
            assert (await api.call("POST", "/admin/databases/reorder?name=db", {"MembersOrder": ["B"]})).status == 400
            promoted = await api.json("POST", "/admin/databases/promote?name=db&node=A")
            assert promoted["Name"] == "db" and promoted["RaftCommandIndex"] > 0
            assert (await api.call("POST", "/admin/databases/promote?name=db&node=B")).status == 400
            lock = {"DatabaseNames": ["db", "none"], "Mode": "PreventDeletesIgnore"}
            missing = await api.json("POST", "/admin/databases/set-lock", lock, 500)
            assert missing["Type"].endswith(".DatabaseDoesNotExistException")
            assert (await api.json("GET", "/admin/databases?name=db"))["LockMode"] == "Unlock"

    run(steps())


def test_log_configuration(run, open_api) -> None:
    """Modes and levels change what is logged at once; what cannot be obeyed is refused and changes nothing."""

    async def steps() -> None:
        path = "/admin/logs/configuration"
        before = log.level()
        try:
            async with open_api() as api:
                assert (await api.json("GET", path))["Mode"] == "None"
                wanted = {"Mode": "Information", "RetentionTime": "1000.00:00:00"}
                assert (await api.call("POST", path, wanted)).status == 204
                shown = await api.json("GET", path)
                assert (shown["CurrentMode"], shown["RetentionTime"]) == ("Information", "1000.00:00:00")
                assert shown["Logs"]["CurrentMinLevel"] == "Debug" and log.level() == "debug"
                assert (await api.call("POST", path, {"Logs": {"MinLevel": "Warn"}})).status == 204
                assert log.level() == "warn"
                for refused in ({"Mode": "Loud"}, {"Mode": "None", "RetentionTime": "soon"}, {"Logs": {}}, {}):
                    assert (await api.call("POST", path, refused)).status == 400
                assert log.level() == "warn"
        finally:
            log.set_level(before)

    run(steps())


def test_settings(run, open_api) -> None:
    """Settings go into the record and nothing but strings does."""

    async def main() -> None:
        async with open_api() as api:
            target = "/databases/db/admin/configuration/settings"
            assert (await api.call("PUT", target, {"Indexing.MapBatchSize": "12"})).status == 204
            record = await api.json("GET", "/databases/db/admin/record")
            assert record["Settings"] == {"Indexing.MapBatchSize": "12"}
            assert (await api.call("PUT", target, {"a": 1})).status == 400

    run(main())


def test_refresh_headers(run, open_api) -> None:
    """A client with an older topology or configuration is told so on its next answer, and only then."""

    async def main() -> None:
        async with open_api() as api:
            etag = (await api.json("GET", "/topology?name=db"))["Etag"]
            target = "/databases/db/stats"
            for known, expected in (("-2", True), (str(etag - 1), True), (str(etag), False), ("None", False)):
                answer = await api.call("GET", target, topology_etag=f'"{known}"')
                assert ("refresh-topology" in answer.fields) is expected, known
            answer = await api.call("GET", target, client_configuration_etag='"0"')
            assert "refresh-client-configuration" not in answer.fields
            configuration = {"ReadBalanceBehavior": "RoundRobin", "Disabled": False}
            put = await api.call("PUT", "/databases/db/admin/configuration/client", configuration)
            assert put.status == 204
            answer = await api.call("GET", target, client_configuration_etag="0")
            assert answer.fields["refresh-client-configuration"] == "true"
            found = await api.json("GET", "/databases/db/configuration/client")
            assert found["Configuration"]["ReadBalanceBehavior"] == "RoundRobin"
            answer = await api.call("GET", target, client_configuration_etag=f'"{found["Etag"]}"')
            assert "refresh-client-configuration" not in answer.fields
            assert (await api.call("GET", "/configuration/client")).status == 404
            assert (await api.call("PUT", "/admin/configuration/client", configuration)).status == 204
            assert (await api.json("GET", "/configuration/client"))["ReadBalanceBehavior"] == "RoundRobin"

    run(main())


def test_known_raft_index(run, open_api) -> None:
    """A request that knows a raft index is answered when this node has applied it."""

    async def main() -> None:
        async with open_api() as api:
            index = api.server.state.raft_index
            assert (await api.call("GET", "/databases/db/stats", known_raft_index=str(index))).status == 200
            assert (await api.call("GET", "/databases/db/stats", known_raft_index="None")).status == 200

    run(main())


def test_hilo_and_identities(run, open_api) -> None:
    """Ranges follow each other; identities count, are seeded, and are listed."""

    async def main() -> None:
        async with open_api() as api:
            query = "tag=users&lastBatchSize=0&lastRangeAt=&identityPartsSeparator=/&lastMax=0"
            first = await api.json("GET", f"/databases/db/hilo/next?{query}")
            assert (first["Prefix"], first["Low"], first["High"], first["ServerTag"]) == ("users/", 1, 32, "A")
            second = await api.json("GET", f"/databases/db/hilo/next?{query}")
            assert second["Low"] == 33
            target = f"/databases/db/hilo/return?tag=users&end={second['High']}&last=35"
            assert (await api.call("PUT", target)).status == 204
            assert (await api.json("GET", f"/databases/db/hilo/next?{query}"))["Low"] == 36
            next_target = "/databases/db/identity/next?name=users|"
            assert (await api.json("POST", next_target))["NewIdentityValue"] == 1
            seeded = await api.json("POST", "/databases/db/identity/seed?name=users&value=100")
            assert seeded["NewSeedValue"] == 100
            assert (await api.json("POST", next_target))["NewIdentityValue"] == 101
            assert await api.json("GET", "/databases/db/debug/identities") == {"users|": 101}
            assert (await api.call("POST", "/databases/db/identity/seed?name=users")).status == 400

    run(main())


def test_statistics(run, open_api) -> None:
    """Every key that the clients demand is there, and the numbers follow the documents."""

    async def main() -> None:
        async with open_api() as api:
            document = {"a": 1, "@metadata": {"@collection": "Things"}}
            for number in range(3):
                await api.json("PUT", f"/databases/db/docs?id=things/{number}", document, 201)
            await api.call("DELETE", "/databases/db/docs?id=things/0")
            stats = await api.json("GET", "/databases/db/stats?wait-for-indexing")
            assert (stats["CountOfDocuments"], stats["CountOfTombstones"], stats["Indexes"]) == (2, 1, [])
            assert set(stats["SizeOnDisk"]) == set(stats["TempBuffersSizeOnDisk"]) == {"SizeInBytes", "HumaneSize"}
            detailed = await api.json("GET", "/databases/db/stats/detailed")
            assert detailed["CountOfIdentities"] == detailed["CountOfCompareExchange"] == 0
            assert (await api.json("GET", "/databases/db/stats/essential"))["CountOfDocuments"] == 2
            collections = await api.json("GET", "/databases/db/collections/stats")
            assert collections["Collections"]["Things"] == 2
            every = await api.json("GET", "/databases/db/collections/stats/detailed")
            assert every["Collections"]["Things"]["CountOfDocuments"] == 2
            listed = await api.json("GET", "/databases/db/collections/docs?name=things&pageSize=1")
            assert [entry["@metadata"]["@id"] for entry in listed["Results"]] == ["things/2"]
            assert (await api.json("GET", "/databases/db/docs/size?id=things/1"))["ActualSize"] > 0
            assert (await api.json("GET", "/databases/db/indexes/status"))["Indexes"] == []
            assert await api.json("GET", "/databases/db/indexes/errors") == {"Results": []}

    run(main())


def test_operations(run, open_api) -> None:
    """Ids differ; what is not there is 404 to ask and an error to end."""

    async def main() -> None:
        async with open_api() as api:
            ids = [(await api.json("GET", "/databases/db/operations/next-operation-id"))["Id"] for _ in range(3)]
            assert len(set(ids)) == 3
            assert (await api.call("GET", "/databases/db/operations/state?id=77")).status == 404
            assert (await api.call("GET", "/operations/state?id=77")).status == 404
            assert (await api.call("POST", "/admin/operations/kill?id=77")).status == 500
            assert (await api.json("GET", "/admin/operations/next-operation-id"))["NodeTag"] == "A"

    run(main())


def test_health_and_metrics(run, open_api) -> None:
    """Balancers, people and Prometheus get what they ask for."""

    async def main() -> None:
        async with open_api() as api:
            for target in ("/health/quick", "/livez", "/readyz"):
                answer = await api.call("GET", target)
                assert (answer.status, answer.body) == (200, b"OK")
            health = await api.json("GET", "/health")
            assert (health["status"], health["total_shards"]) == ("healthy", 1024)
            metrics = await api.call("GET", "/metrics")
            assert metrics.fields["content-type"].startswith("text/plain")
            assert b"kv_requests_total" in metrics.body
            routes = await api.json("GET", "/debug/routes")
            assert {"Method": "GET", "Path": "/topology", "Permission": "read", "Body": "none"} in routes

    run(main())


def test_storage_report_and_compaction(run, open_api) -> None:
    """The report's parts add up; compaction of a database in memory is an operation that fails as clients expect."""

    async def main() -> None:
        async with open_api() as api:
            report = await api.json("GET", "/databases/db/debug/storage/report")
            (environment,) = report["Results"]
            data_file = environment["Report"]["DataFile"]
            trees = sum(tree["AllocatedSpaceInBytes"] for tree in environment["Report"]["Trees"])
            others = data_file["StructureInBytes"] + data_file["FreeSpaceInBytes"]
            assert data_file["AllocatedSpaceInBytes"] == trees + others
            started = await api.json("POST", "/admin/compact", {"DatabaseName": "db", "Documents": True})
            state = await api.json("GET", f"/operations/state?id={started['OperationId']}")
            assert state["Status"] == "Faulted" and "PureMemoryStorageEnvironmentOptions" in state["Result"]["Message"]
            assert (await api.call("POST", "/admin/compact", {})).status == 400

    run(main())
