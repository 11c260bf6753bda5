// Scenarios of a first application through the official Node client, each against a database of its own.
// node node_client.cjs NODE_MODULES URL DATABASE SCENARIO; exits with 0 when everything was as expected.
const assert = require("node:assert/strict");
const path = require("node:path");
const [modules, url, database, scenario] = process.argv.slice(2);
const raven = require(path.join(modules, "ravendb"));

const BULK_COUNT = 2000;

class User {
    constructor({ name = null, age = null, friend = null } = {}) {
        Object.assign(this, { name, age, friend });
    }
}

async function inSession(store, work) {
    const session = store.openSession();
    try {
        return await work(session);
    } finally {
        session.dispose();
    }
}

async function save(store, documents) {
    await inSession(store, async (session) => {
        for (const [id, document] of Object.entries(documents)) await session.store(document, id);
        await session.saveChanges();
    });
}

async function fill(store) {
    const bulk = store.bulkInsert();
    for (let number = 0; number < BULK_COUNT; number++) {
        const id = `users/${String(number).padStart(5, "0")}`;
        await bulk.store(new User({ name: `user ${number}`, age: number % 90 }), id);
    }
    await bulk.finish();
}

async function streamed(session, prefix, options) {
    const stream = await session.advanced.stream(prefix, options);
    const items = [];
    await new Promise((resolve, reject) => {
        stream.on("data", (item) => items.push(item));
        stream.on("end", resolve);
        stream.on("error", reject);
    });
    return items;
}

const scenarios = {
    async life(store) {
        await save(store, { "users/1": new User({ name: "Ada", age: 36 }) });
        const vectors = [];
        for (const age of [37, 38]) {
            await inSession(store, async (session) => {
                const user = await session.load("users/1", User);
                vectors.push(session.advanced.getChangeVectorFor(user));
                user.age = age;
                await session.saveChanges();
            });
        }
        await inSession(store, async (session) => {
            const user = await session.load("USERS/1", User);
            assert.ok(user instanceof User);
            assert.deepEqual([user.name, user.age, user.friend], ["Ada", 38, null]);
            assert.equal(session.advanced.getMetadataFor(user)["@collection"], "Users");
            assert.ok(session.advanced.getLastModifiedFor(user) instanceof Date);
            vectors.push(session.advanced.getChangeVectorFor(user));
            assert.equal(await session.advanced.exists("users/1"), true);
            await session.delete(user);
            await session.saveChanges();
        });
        assert.equal(new Set(vectors).size, 3);
        await inSession(store, async (session) => {
            assert.equal(await session.load("users/1", User), null);
            assert.equal(await session.advanced.exists("users/1"), false);
        });
    },

    async several(store) {
        await save(store, { "users/1": new User({ name: "Ada" }), "users/é 2": new User({ name: "Bob €😀" }) });
        await inSession(store, async (session) => {
            const found = await session.load(["users/1", "users/é 2", "users/3"], User);
            assert.deepEqual(Object.keys(found).sort(), ["users/1", "users/3", "users/é 2"]);
            assert.equal(found["users/é 2"].name, "Bob €😀");
            assert.equal(found["users/3"], null);
            await session.delete("users/1");
            await session.delete("users/nobody");
            await session.saveChanges();
        });
        await inSession(store, async (session) => assert.equal(await session.load("users/1", User), null));
    },

    async concurrency(store) {
        await save(store, { "users/1": new User({ name: "Ada" }) });
        const first = store.openSession();
        const second = store.openSession();
        for (const session of [first, second]) session.advanced.useOptimisticConcurrency = true;
        const mine = await first.load("users/1", User);
        const theirs = await second.load("users/1", User);
        [mine.name, theirs.name] = ["mine", "theirs"];
        await first.saveChanges();
        await second.store(new User({ name: "bystander" }), "users/2");
        await assert.rejects(second.saveChanges(), (error) => {
            assert.equal(error.name, "ConcurrencyException");
            assert.match(error.message, /Optimistic concurrency violation/);
            return true;
        });
        const third = store.openSession();
        third.advanced.useOptimisticConcurrency = true;
        await third.store(new User({ name: "again" }), "users/1", { changeVector: "" });
        await assert.rejects(third.saveChanges(), { name: "ConcurrencyException" });
        await inSession(store, async (session) => {
            assert.equal((await session.load("users/1", User)).name, "mine");
            assert.equal(await session.load("users/2", User), null);
        });
    },

    async includes(store) {
        await save(store, { "users/2": new User({ name: "Bob" }), "users/1": new User({ friend: "users/2" }) });
        await inSession(store, async (session) => {
            const user = await session.include("friend").load("users/1", User);
            assert.equal((await session.load(user.friend, User)).name, "Bob");
            assert.equal(session.advanced.numberOfRequests, 1);
        });
        await inSession(store, async (session) => {
            await session.load("users/1", { documentType: User, includes: (builder) => builder.includeDocuments("friend") });
            assert.ok(session.advanced.isLoaded("users/2"));
        });
    },

    async lazy(store) {
        await save(store, { "users/1": new User({ name: "Ada" }) });
        await inSession(store, async (session) => {
            const ada = session.advanced.lazily.load("users/1", User);
            const missing = session.advanced.lazily.load("users/2", User);
            await session.advanced.eagerly.executeAllPendingLazyOperations();
            assert.equal((await ada.getValue()).name, "Ada");
            assert.equal(await missing.getValue(), null);
            assert.equal(session.advanced.numberOfRequests, 1);
        });
        // Known as missing from a plain load, which the client remembers.
        await inSession(store, async (session) => assert.equal(await session.load("users/3", User), null));
        await inSession(store, async (session) => {
            assert.equal(await session.advanced.lazily.load("users/3", User).getValue(), null);
        });
    },

    async bulk(store) {
        await fill(store);
        const counts = await store.maintenance.send(new raven.GetCollectionStatisticsOperation());
        assert.equal(counts.countOfDocuments, BULK_COUNT);
        assert.deepEqual(counts.collections, { Users: BULK_COUNT });
        const statistics = await store.maintenance.send(new raven.GetStatisticsOperation());
        assert.equal(statistics.countOfDocuments, BULK_COUNT);
        const bulk = store.bulkInsert();
        const generated = new User({ name: "generated" });
        await bulk.store(generated);
        await bulk.finish();
        assert.equal(generated.id, "users/1-A");
        await inSession(store, async (session) => {
            assert.equal((await session.load("users/01999", User)).name, "user 1999");
            assert.equal((await session.load("users/1-A", User)).name, "generated");
        });
    },

    async prefix(store) {
        await fill(store);
        await inSession(store, async (session) => {
            const page = await session.advanced.loadStartingWith("users/0012", { documentType: User, pageSize: 100 });
            assert.deepEqual(page.map((user) => user.name), [...Array(10).keys()].map((n) => `user ${120 + n}`));
            const options = { documentType: User, matches: "0000?", exclude: "*5", start: 2, pageSize: 3 };
            const some = await session.advanced.loadStartingWith("users/", options);
            assert.deepEqual(some.map((user) => user.name), ["user 2", "user 3", "user 4"]);
            const after = await session.advanced.loadStartingWith("users/", { startAfter: "users/01997" });
            assert.deepEqual(after.map((user) => user.id), ["users/01998", "users/01999"]);
        });
    },

    async stream(store) {
        await fill(store);
        await inSession(store, async (session) => {
            const items = await streamed(session, "users/");
            assert.equal(items.length, BULK_COUNT);
            assert.equal(items[1999].id, "users/01999");
            assert.equal(items[1999].document.name, "user 1999");
            assert.match(items[0].changeVector, /^A:\d+-/);
            assert.equal(items[0].metadata["@collection"], "Users");
            assert.equal((await streamed(session, "users/0199", { pageSize: 4 })).length, 4);
            assert.equal((await streamed(session, "nobody/")).length, 0);
        });
    },

    async ids(store) {
        await inSession(store, async (session) => {
            const users = ["a", "b", "c"].map((name) => new User({ name }));
            for (const user of users) await session.store(user);
            assert.deepEqual(users.map((user) => user.id), ["users/1-A", "users/2-A", "users/3-A"]);
            await session.saveChanges();
        });
        await inSession(store, async (session) => {
            const byServer = new User({ name: "server" });
            await session.store(byServer, "users/");
            await session.saveChanges();
            assert.match(byServer.id, /^users\/0{10}\d+-A$/);
            assert.equal((await session.load(byServer.id, User)).name, "server");
        });
    },

    async identities(store) {
        await inSession(store, async (session) => {
            const users = [new User({ name: "first" }), new User({ name: "second" })];
            for (const user of users) await session.store(user, "people|");
            await session.saveChanges();
            assert.deepEqual(users.map((user) => user.id), ["people/1", "people/2"]);
        });
        assert.equal(await store.maintenance.send(new raven.NextIdentityForOperation("people|")), 3);
        assert.equal(await store.maintenance.send(new raven.SeedIdentityForOperation("people|", 100)), 100);
        assert.deepEqual(await store.maintenance.send(new raven.GetIdentitiesOperation()), { "people|": 100 });
        await inSession(store, async (session) => assert.equal((await session.load("people/2")).name, "second"));
    },

    async databases(store) {
        const name = `${database}-second`;
        await store.maintenance.server.send(new raven.CreateDatabaseOperation({ databaseName: name }));
        const names = await store.maintenance.server.send(new raven.GetDatabaseNamesOperation(0, 100));
        assert.ok(names.includes(name));
        const record = await store.maintenance.server.send(new raven.GetDatabaseRecordOperation(name));
        assert.equal(record.databaseName, name);
        const again = store.maintenance.server.send(new raven.CreateDatabaseOperation({ databaseName: name }));
        await assert.rejects(again, { name: "ConcurrencyException" });
        await store.maintenance.server.send(new raven.DeleteDatabasesOperation({ databaseNames: [name], hardDelete: true }));
        const session = store.openSession(name);
        await assert.rejects(session.load("users/1"), { name: "DatabaseDoesNotExistException" });
    },

    async queries(store) {
        const session = store.openSession();
        for (const [number, name] of ["Ada", "Bob", "Cleo", "ada"].entries()) {
            await session.store({ name, age: 20 + number, "@metadata": { "@collection": "Users" } }, `users/${number}`);
        }
        await session.saveChanges();
        const older = await session.query({ collection: "Users" }).whereGreaterThan("age", 20).orderByDescending("age", "Long")
            .waitForNonStaleResults().all();
        assert.deepEqual(older.map((user) => user.name), ["ada", "Cleo", "Bob"]);
        const same = await session.query({ collection: "Users" }).whereEquals("name", "ADA").waitForNonStaleResults().all();
        assert.deepEqual(same.map((user) => user.id).sort(), ["users/0", "users/3"]);
    },

    async unsupported(store) {
        await assert.rejects(store.subscriptions.create({ query: "from Users" }), (error) => {
            assert.equal(error.name, "RouteNotFoundException");
            assert.match(error.message, /no handler for path: PUT .*\/subscriptions/);
            return true;
        });
    },
};

async function main() {
    const store = new raven.DocumentStore(url, database);
    store.initialize();
    await store.maintenance.server.send(new raven.CreateDatabaseOperation({ databaseName: database }));
    try {
        await scenarios[scenario](store);
    } finally {
        const deletion = new raven.DeleteDatabasesOperation({ databaseNames: [database], hardDelete: true });
        await store.maintenance.server.send(deletion);
        store.dispose();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
