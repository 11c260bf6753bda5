// Queries and indexes through the official Node client, each scenario against a database of its own.
// node node_queries.cjs NODE_MODULES URL DATABASE SCENARIO; exits with 0 when everything was as expected.
const assert = require("node:assert/strict");
const path = require("node:path");
const [modules, url, database, scenario] = process.argv.slice(2);
const raven = require(path.join(modules, "ravendb"));

class Product {
    constructor({ name = null, maker = null, price = null, units = null, tags = null } = {}) {
        Object.assign(this, { name, maker, price, units, tags });
    }
}

class Maker {
    constructor({ name = null, lat = null, lng = null } = {}) {
        Object.assign(this, { name, lat, lng });
    }
}

const PRODUCTS = {
    "products/1": new Product({ name: "Red apple", maker: "makers/1", price: 3, units: 10, tags: ["fruit", "red"] }),
    "products/2": new Product({ name: "Green apple", maker: "makers/1", price: 4, units: 0, tags: ["fruit", "green"] }),
    "products/3": new Product({ name: "Red paint", maker: "makers/2", price: 20, units: 5, tags: ["red"] }),
    "products/4": new Product({ name: "Brush", maker: "makers/2", price: 7, units: 8, tags: [] }),
};
const MAKERS = {
    "makers/1": new Maker({ name: "Orchard", lat: 52.52, lng: 13.4 }),
    "makers/2": new Maker({ name: "Paintworks", lat: 48.86, lng: 2.35 }),
};

class Products_ByName extends raven.AbstractJavaScriptIndexCreationTask {
    constructor() {
        super();
        const { load } = this.mapUtils();
        this.map(Product, (p) => {
            return { name: p.name, price: p.price, units: p.units, makerName: load(p.maker, "Makers").name, tags: p.tags };
        });
        this.index("name", "Search");
        this.store("makerName", "Yes");
        this.suggestion("name");
        this.termVector("name", "WithPositionsAndOffsets");
    }
}

class Products_ByMaker extends raven.AbstractJavaScriptIndexCreationTask {
    constructor() {
        super();
        this.map(Product, (p) => ({ maker: p.maker, total: p.price * p.units, count: 1 }));
        this.reduce((results) => results.groupBy((x) => x.maker).aggregate((g) => ({
            maker: g.key,
            total: g.values.reduce((sum, x) => sum + x.total, 0),
            count: g.values.reduce((sum, x) => sum + x.count, 0),
        })));
    }
}

class Products_Sharp extends raven.AbstractCsharpIndexCreationTask {
    constructor() {
        super();
        this.map = "from p in docs.Products select new { p.name, worth = p.price * p.units, upper = p.name.ToUpper() }";
        this.store("worth", "Yes");
    }
}

class Makers_Places extends raven.AbstractCsharpMultiMapIndexCreationTask {
    constructor() {
        super();
        this.addMap("from m in docs.Makers select new { m.name, place = CreateSpatialField(m.lat, m.lng) }");
        this.spatial("place", (factory) => factory.geography().defaultOptions());
    }
}

async function fill(store) {
    const session = store.openSession();
    for (const [id, document] of Object.entries({ ...PRODUCTS, ...MAKERS })) await session.store(document, id);
    await session.saveChanges();
    session.dispose();
}

async function settled(store) {
    for (let round = 0; round < 500; round++) {
        const statistics = await store.maintenance.send(new raven.GetStatisticsOperation());
        if (statistics.indexes.every((index) => !index.isStale && !index.name.startsWith("ReplacementOf/"))) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error("an index stays stale");
}

const ids = (documents) => documents.map((document) => document.id);

const scenarios = {
    async builder(store) {
        await fill(store);
        const session = store.openSession();
        const all = () => session.query(Product).waitForNonStaleResults();
        assert.deepEqual(ids(await all().whereBetween("price", 4, 10).orderBy("price", "Double").all()), ["products/2", "products/4"]);
        assert.deepEqual(ids(await all().whereIn("name", ["BRUSH", "red paint"]).orderBy("name").all()), ["products/4", "products/3"]);
        assert.deepEqual(ids(await all().containsAll("tags", ["fruit", "red"]).all()), ["products/1"]);
        assert.deepEqual(ids(await all().containsAny("tags", ["green"]).all()), ["products/2"]);
        assert.deepEqual(ids(await all().whereStartsWith("name", "red").orderBy("id()").all()), ["products/1", "products/3"]);
        assert.deepEqual(ids(await all().whereEndsWith("name", "apple").orderByDescending("price").all()), ["products/2", "products/1"]);
        assert.deepEqual(ids(await all().search("name", "apple brush").orderBy("price", "Long").all()), ["products/1", "products/2", "products/4"]);
        assert.deepEqual(ids(await all().whereRegex("name", "^red").orderBy("name").all()), ["products/1", "products/3"]);
        assert.deepEqual(ids(await all().not().whereEquals("units", 0).andAlso().openSubclause().whereEquals("price", 3)
            .orElse().whereGreaterThan("price", 10).closeSubclause().orderBy("price").all()), ["products/1", "products/3"]);
        assert.deepEqual(ids(await all().whereExists("tags").whereNotEquals("name", "Brush").skip(1).take(1).orderBy("name").all()), ["products/1"]);
        assert.equal(await all().whereEquals("maker", "makers/1").count(), 2);
        assert.equal((await all().whereEquals("name", "Brush").single()).id, "products/4");
        assert.equal(await all().whereEquals("name", "none").any(), false);
        const fuzzy = await all().whereEquals("name", "brsh").fuzzy(0.7).all();
        assert.deepEqual(ids(fuzzy), ["products/4"]);
        const grouped = await session.query(Product).waitForNonStaleResults().groupBy("maker")
            .selectKey("maker").selectSum(new raven.GroupByField("units", "units")).orderBy("maker").all();
        assert.deepEqual(grouped.map((row) => [row.maker, row.units]), [["makers/1", 10], ["makers/2", 13]]);
        const counted = await session.query(Product).waitForNonStaleResults().groupBy("maker").selectKey("maker").selectCount()
            .orderByDescending("count", "Long").all();
        assert.deepEqual(counted.map((row) => row.count), [2, 2]);
        const included = await session.query(Product).include("maker").whereEquals("name", "Brush").waitForNonStaleResults().all();
        const requests = session.advanced.numberOfRequests;
        assert.equal((await session.load(included[0].maker, Maker)).name, "Paintworks");
        assert.equal(session.advanced.numberOfRequests, requests);
        let statistics;
        await all().statistics((found) => { statistics = found; }).whereGreaterThan("price", 0).take(2).all();
        assert.equal(statistics.totalResults, 4);
    },

    async projections(store) {
        await fill(store);
        const session = store.openSession();
        const chosen = await session.query(Product).orderBy("price", "Long").selectFields(["name", "price"]).waitForNonStaleResults().all();
        assert.deepEqual(chosen.map((row) => [row.name, row.price])[0], ["Red apple", 3]);
        const data = raven.QueryData.customFunction("p", "{ label: p.name + ' of ' + load(p.maker).name, worth: p.price * p.units }");
        const made = await session.query(Product).whereEquals("name", "Brush").selectFields(data, Object).waitForNonStaleResults().all();
        assert.deepEqual([made[0].label, made[0].worth], ["Brush of Paintworks", 56]);
        const raw = await session.advanced.rawQuery(
            `declare function worth(p) { return p.price * p.units }
             from Products as p where p.price > $least order by p.price as long load p.maker as m
             select { name: p.name, worth: worth(p), maker: m.name }`)
            .addParameter("least", 5).waitForNonStaleResults().all();
        assert.deepEqual(raw.map((row) => [row.name, row.worth, row.maker]), [["Brush", 56, "Paintworks"], ["Red paint", 100, "Paintworks"]]);
        const filtered = await session.query(Product).filter((f) => f.greaterThan("price", 5)).orderBy("price", "Long").waitForNonStaleResults().all();
        assert.deepEqual(ids(filtered), ["products/4", "products/3"]);
        const distinct = await session.query(Product).selectFields(["maker"]).distinct().waitForNonStaleResults().all();
        assert.equal(distinct.length, 2);
    },

    async scripts(store) {
        await new Products_ByName().execute(store);
        await new Products_ByMaker().execute(store);
        await fill(store);
        await settled(store);
        const session = store.openSession();
        const found = await session.query({ index: Products_ByName }).search("name", "apple").orderBy("price", "Long").all();
        assert.deepEqual(ids(found), ["products/1", "products/2"]);
        const made = await session.query({ index: Products_ByName }).whereEquals("makerName", "orchard").selectFields(["makerName", "price"]).all();
        assert.deepEqual(made.map((row) => row.makerName), ["Orchard", "Orchard"]);
        const sums = await session.query({ index: Products_ByMaker }).orderBy("total", "Double").all();
        assert.deepEqual(sums.map((row) => [row.maker, row.total, row.count]), [["makers/1", 30, 2], ["makers/2", 156, 2]]);
        const definition = await store.maintenance.send(new raven.GetIndexOperation("Products/ByName"));
        assert.equal(definition.type, "JavaScriptMap");
        assert.equal(await store.maintenance.send(new raven.IndexHasChangedOperation(definition)), false);
        const terms = await store.maintenance.send(new raven.GetTermsOperation("Products/ByName", "name", null, 10));
        assert.deepEqual(terms, ["apple", "brush", "green", "paint", "red"]);
        const statistics = await store.maintenance.send(new raven.GetIndexStatisticsOperation("Products/ByMaker"));
        assert.equal(statistics.entriesCount, 2);
    },

    async sharp(store) {
        await new Products_Sharp().execute(store);
        await new Makers_Places().execute(store);
        await fill(store);
        await settled(store);
        const session = store.openSession();
        const rich = await session.query({ index: Products_Sharp }).whereGreaterThan("worth", 50).orderByDescending("worth", "Double").all();
        assert.deepEqual(ids(rich), ["products/3", "products/4"]);
        const near = await session.query({ index: Makers_Places }).spatial("place", (f) => f.withinRadius(50, 52.5, 13.4)).all();
        assert.deepEqual(ids(near), ["makers/1"]);
        const byDistance = await session.query({ index: Makers_Places }).orderByDistance("place", 48.8, 2.3).all();
        assert.deepEqual(ids(byDistance), ["makers/2", "makers/1"]);
        const points = await session.query(Maker).spatial(new raven.PointField("lat", "lng"), (f) => f.withinRadius(50, 48.8, 2.3))
            .waitForNonStaleResults().all();
        assert.deepEqual(ids(points), ["makers/2"]);
        const broken = new raven.IndexDefinition();
        broken.name = "Broken";
        broken.maps = new Set(["from p in docs.Products select p.nothing("]);
        await assert.rejects(store.maintenance.send(new raven.PutIndexesOperation(broken)), { name: "IndexCompilationException" });
    },

    async words(store) {
        await new Products_ByName().execute(store);
        await fill(store);
        await settled(store);
        const session = store.openSession();
        const suggested = await session.query({ index: Products_ByName })
            .suggestUsing((x) => x.byField("name", "aple").withOptions({ accuracy: 0.4, pageSize: 5 })).execute();
        assert.deepEqual(suggested.name.suggestions, ["apple"]);
        let marked;
        await session.query({ index: Products_ByName }).highlight({ fieldName: "name", fragmentLength: 64, fragmentCount: 1 },
            (found) => { marked = found; }).search("name", "paint").all();
        assert.match(marked.getFragments("products/3")[0], /<b[^>]*>paint<\/b>/);
        let explained;
        await session.query({ index: Products_ByName }).includeExplanations((found) => { explained = found; }).search("name", "brush").all();
        assert.ok(explained.explanations["products/4"].length > 0);
        let timed;
        await session.query({ index: Products_ByName }).timings((found) => { timed = found; }).search("name", "brush").all();
        assert.ok(timed.durationInMs >= 0);
        const alike = await session.query({ index: Products_ByName }).moreLikeThis((f) => f.usingDocument((x) => x.whereEquals("id()", "products/1"))
            .withOptions({ minimumTermFrequency: 1, minimumDocumentFrequency: 1, fields: ["name"] })).all();
        assert.deepEqual(ids(alike).sort(), ["products/2", "products/3"]);
    },

    async facets(store) {
        await new Products_ByName().execute(store);
        await fill(store);
        await settled(store);
        const session = store.openSession();
        const plain = await session.query({ index: Products_ByName })
            .aggregateBy((f) => f.byField("makerName").sumOn("units").maxOn("price")).execute();
        const values = plain.makerName.values;
        assert.deepEqual([...new Set(values.map((each) => each.range))], ["orchard", "paintworks"]);
        assert.equal(values.find((each) => each.range === "paintworks" && each.name === "units").sum, 13);
        const range = raven.RangeBuilder.forPath("price");
        const ranges = await session.query({ index: Products_ByName })
            .aggregateBy((f) => f.byRanges(range.isLessThan(5), range.isGreaterThanOrEqualTo(5))).execute();
        assert.deepEqual(ranges.price.values.map((each) => each.count), [2, 2]);
        const options = new raven.FacetOptions();
        options.pageSize = 1;
        options.termSortMode = "CountDesc";
        const paged = await session.query({ index: Products_ByName }).aggregateBy((f) => f.byField("tags").withOptions(options)).execute();
        assert.equal(paged.tags.values.length, 1);
        const setup = new raven.FacetSetup();
        setup.facets = [Object.assign(new raven.Facet(), { fieldName: "makerName" })];
        await session.store(setup, "facets/makers");
        await session.saveChanges();
        const stored = await session.query({ index: Products_ByName }).aggregateUsing("facets/makers").execute();
        assert.deepEqual(stored.makerName.values.map((each) => each.count), [2, 2]);
    },

    async streams(store) {
        await new Products_ByName().execute(store);
        await fill(store);
        await settled(store);
        const session = store.openSession();
        let statistics;
        const stream = await session.advanced.stream(session.query({ index: Products_ByName }).orderBy("price", "Long"),
            (found) => { statistics = found; });
        const seen = [];
        for await (const item of stream) seen.push(item.id);
        assert.deepEqual(seen, ["products/1", "products/2", "products/4", "products/3"]);
        assert.equal(statistics.totalResults, 4);
        const raw = await session.advanced.stream(session.advanced.rawQuery("from Products select name"));
        const names = [];
        for await (const item of raw) names.push(item.document.name);
        assert.equal(names.length, 4);
        const lazy = session.query({ index: Products_ByName }).whereEquals("price", 7).lazily();
        const count = session.query({ index: Products_ByName }).countLazily();
        await session.advanced.eagerly.executeAllPendingLazyOperations();
        assert.deepEqual([ids(await lazy.getValue()), await count.getValue()], [["products/4"], 4]);
    },

    async changes(store) {
        await new Products_ByName().execute(store);
        await fill(store);
        await settled(store);
        const patch = new raven.PatchByQueryOperation(Object.assign(new raven.IndexQuery(), {
            query: "from index 'Products/ByName' as p where p.price > $least update { this.price += $more; this.seen = id(this); }",
            queryParameters: { least: 5, more: 100 },
        }));
        await (await store.operations.send(patch)).waitForCompletion();
        await settled(store);
        const session = store.openSession();
        assert.deepEqual([(await session.load("products/3")).price, (await session.load("products/1")).price], [120, 3]);
        assert.equal((await session.load("products/4")).seen, "products/4");
        const plain = await store.operations.send(new raven.PatchByQueryOperation("from Makers update { this.name = this.name.toUpperCase() }"));
        await plain.waitForCompletion();
        assert.equal((await session.load("makers/1")).name, "ORCHARD");
        await settled(store); // the index loads makers
        const deletion = await store.operations.send(new raven.DeleteByQueryOperation(Object.assign(new raven.IndexQuery(), {
            query: "from index 'Products/ByName' where price > 100",
        })));
        await deletion.waitForCompletion();
        await settled(store);
        const left = await store.openSession().query({ collection: "Products" }).all();
        assert.deepEqual(ids(left), ["products/1", "products/2"]);
    },

    async management(store) {
        await new Products_ByName().execute(store);
        await fill(store);
        const send = (operation) => store.maintenance.send(operation);
        await send(new raven.StopIndexingOperation());
        assert.equal((await send(new raven.GetIndexingStatusOperation())).status, "Paused");
        await send(new raven.StartIndexingOperation());
        await send(new raven.SetIndexesLockOperation("Products/ByName", "LockedError"));
        await send(new raven.SetIndexesPriorityOperation("Products/ByName", "High"));
        const shown = await send(new raven.GetIndexOperation("Products/ByName"));
        assert.deepEqual([shown.lockMode, shown.priority], ["LockedError", "High"]);
        assert.deepEqual(await send(new raven.GetIndexNamesOperation(0, 10)), ["Products/ByName"]);
        assert.equal((await send(new raven.GetIndexesOperation(0, 10)))[0].name, "Products/ByName");
        await send(new raven.DisableIndexOperation("Products/ByName"));
        assert.equal((await send(new raven.GetIndexStatisticsOperation("Products/ByName"))).state, "Disabled");
        await send(new raven.EnableIndexOperation("Products/ByName"));
        await send(new raven.ResetIndexOperation("Products/ByName"));
        await settled(store);
        assert.deepEqual((await send(new raven.GetIndexErrorsOperation(["Products/ByName"])))[0].errors, []);
        await send(new raven.DeleteIndexErrorsOperation(["Products/ByName"]));
        const sorter = { name: "ByLength", code: "(a, b) => a.length - b.length" };
        await send(new raven.PutSortersOperation(sorter));
        const session = store.openSession();
        const sorted = await session.query(Product).orderBy("name", { sorterName: "ByLength" }).waitForNonStaleResults().all();
        assert.equal(sorted[0].id, "products/4");
        await send(new raven.DeleteSorterOperation("ByLength"));
        await send(new raven.PutAnalyzersOperation({ name: "Plain", code: '{"Tokenizer": "whitespace"}' }));
        await send(new raven.DeleteAnalyzerOperation("Plain"));
        await send(new raven.SetIndexesLockOperation("Products/ByName", "Unlock"));
        await send(new raven.DeleteIndexOperation("Products/ByName"));
        await assert.rejects(session.query({ index: Products_ByName }).all(), { name: "IndexDoesNotExistException" });
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
