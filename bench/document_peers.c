/* The workloads of bench_documents over RocksDB's and LMDB's C interfaces, and over a bare file: same documents, same ids.
 *
 * document_peers <engine: disk|rocksdb|lmdb> <directory> <documents> <updates> <file of 1 KB documents>
 * Prints "<name> <operations per second>" lines, the best of ROUNDS. Every write is durable before the next one begins.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <lmdb.h>
#include <rocksdb/c.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 1024, SAMPLES = 256, SINGLES = 1000, READS = 200000, ROUNDS = 3 };

static char samples[SAMPLES][SIZE];
static uint64_t state = 88172645463325252ull;
static uint64_t documents, updates;

static uint64_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    fprintf(stderr, "document_peers: %s\n", what);
    exit(1);
}

static size_t make_key(char *key, uint64_t number) {
    return (size_t)sprintf(key, "orders/%llu-a", (unsigned long long)number);
}

/* The best of the rounds since the last report. */
static double best;

static void round_end(double operations, double since) {
    double rate = operations / (now() - since);
    if (rate > best) best = rate;
}

static void report(const char *name) {
    printf("%s %.0f\n", name, best);
    fflush(stdout);
    best = 0;
}

/* ---- the bare disk: overwrite of 4 KB that were written before, and fdatasync */

static void run_disk(const char *directory) {
    char path[4096];
    static char block[1 << 20];
    snprintf(path, sizeof path, "%s/bare", directory);
    int file = open(path, O_RDWR | O_CREAT, 0600);
    memset(block, 1, sizeof block);
    if (file < 0 || pwrite(file, block, sizeof block, 0) != sizeof block || fdatasync(file)) fail("bare file");
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int i = 0; i < SINGLES; i++) {
            memset(block, i, 4096);
            if (pwrite(file, block, 4096, (i % 256) * 4096) != 4096 || fdatasync(file)) fail("bare write");
        }
        round_end(SINGLES, start);
    }
    report("single");
    close(file);
}

/* ---- RocksDB */

static rocksdb_t *rocks;
static rocksdb_writeoptions_t *rocks_durable, *rocks_lazy;

static void rocks_check(char *error) {
    if (error) fail(error);
}

static void rocks_batch(uint64_t count, uint64_t first, int is_random, rocksdb_writeoptions_t *options) {
    char key[64], *error = NULL;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = is_random ? next_random() % documents : first + i;
        size_t size = make_key(key, number);
        rocksdb_writebatch_put(batch, key, size, samples[next_random() % SAMPLES], SIZE);
    }
    rocksdb_write(rocks, options, batch, &error);
    rocks_check(error);
    rocksdb_writebatch_destroy(batch);
}

static void run_rocksdb(const char *directory) {
    char *error = NULL, key[64];
    static char copy[SIZE];
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_increase_parallelism(options, 2);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocks = rocksdb_open(options, directory, &error);
    rocks_check(error);
    rocks_durable = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks_durable, 1);
    rocks_lazy = rocksdb_writeoptions_create();
    double start = now();
    for (uint64_t first = 0; first < documents; first += 1000)
        rocks_batch(documents - first < 1000 ? documents - first : 1000, first, 0, rocks_lazy);
    round_end(documents, start);
    report("load");
    int sizes[] = {1, 64, 256};
    const char *names[] = {"single", "merged64", "merged256"};
    for (int which = 0; which < 3; which++) {
        uint64_t count = which ? updates : SINGLES;
        for (int round = 0; round < ROUNDS; round++) {
            start = now();
            for (uint64_t done = 0; done < count; done += sizes[which]) rocks_batch(sizes[which], 0, 1, rocks_durable);
            round_end(count, start);
        }
        report(names[which]);
    }
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    for (int round = 0; round < ROUNDS; round++) {
        start = now();
        for (int i = 0; i < READS; i++) {
            size_t found;
            const rocksdb_snapshot_t *snapshot = rocksdb_create_snapshot(rocks);
            rocksdb_readoptions_set_snapshot(read, snapshot);
            rocksdb_pinnableslice_t *slice =
                rocksdb_get_pinned(rocks, read, key, make_key(key, next_random() % documents), &error);
            rocks_check(error);
            memcpy(copy, rocksdb_pinnableslice_value(slice, &found), SIZE);
            rocksdb_pinnableslice_destroy(slice);
            rocksdb_release_snapshot(rocks, snapshot);
        }
        round_end(READS, start);
    }
    report("reads");
    rocksdb_close(rocks);
}

/* ---- LMDB */

static MDB_env *lmdb;
static MDB_dbi lmdb_database;

static void lmdb_check(int code) {
    if (code) fail(mdb_strerror(code));
}

static void lmdb_batch(uint64_t count, uint64_t first, int is_random) {
    char text[64];
    MDB_txn *txn;
    lmdb_check(mdb_txn_begin(lmdb, NULL, 0, &txn));
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = is_random ? next_random() % documents : first + i;
        MDB_val key = {make_key(text, number), text}, value = {SIZE, samples[next_random() % SAMPLES]};
        lmdb_check(mdb_put(txn, lmdb_database, &key, &value, 0));
    }
    lmdb_check(mdb_txn_commit(txn));
}

static void run_lmdb(const char *directory) {
    static char copy[SIZE];
    char text[64];
    MDB_txn *txn;
    lmdb_check(mdb_env_create(&lmdb));
    lmdb_check(mdb_env_set_mapsize(lmdb, 16ull << 30));
    lmdb_check(mdb_env_open(lmdb, directory, MDB_NOTLS, 0600));
    lmdb_check(mdb_txn_begin(lmdb, NULL, 0, &txn));
    lmdb_check(mdb_dbi_open(txn, NULL, 0, &lmdb_database));
    lmdb_check(mdb_txn_commit(txn));
    double start = now();
    for (uint64_t first = 0; first < documents; first += 1000)
        lmdb_batch(documents - first < 1000 ? documents - first : 1000, first, 0);
    round_end(documents, start);
    report("load");
    int sizes[] = {1, 64, 256};
    const char *names[] = {"single", "merged64", "merged256"};
    for (int which = 0; which < 3; which++) {
        uint64_t count = which ? updates / 4 : SINGLES / 3;
        for (int round = 0; round < ROUNDS; round++) {
            start = now();
            for (uint64_t done = 0; done < count; done += sizes[which]) lmdb_batch(sizes[which], 0, 1);
            round_end(count, start);
        }
        report(names[which]);
    }
    lmdb_check(mdb_txn_begin(lmdb, NULL, MDB_RDONLY, &txn));
    mdb_txn_reset(txn);
    for (int round = 0; round < ROUNDS; round++) {
        start = now();
        for (int i = 0; i < READS; i++) {
            MDB_val key = {make_key(text, next_random() % documents), text}, value;
            lmdb_check(mdb_txn_renew(txn));
            lmdb_check(mdb_get(txn, lmdb_database, &key, &value));
            memcpy(copy, value.mv_data, SIZE);
            mdb_txn_reset(txn);
        }
        round_end(READS, start);
    }
    report("reads");
}

int main(int argc, char **argv) {
    if (argc != 6) fail("five arguments");
    documents = strtoull(argv[3], NULL, 10);
    updates = strtoull(argv[4], NULL, 10);
    FILE *file = fopen(argv[5], "rb");
    if (!file || fread(samples, SIZE, SAMPLES, file) != SAMPLES) fail("sample documents");
    if (!strcmp(argv[1], "disk")) run_disk(argv[2]);
    else if (!strcmp(argv[1], "rocksdb")) run_rocksdb(argv[2]);
    else if (!strcmp(argv[1], "lmdb")) run_lmdb(argv[2]);
    else fail("engine");
    return 0;
}
