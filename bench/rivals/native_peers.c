/* The workloads of `native` over RocksDB's and LMDB's C interfaces, and over a bare file: same documents, same ids.
 *
 * native_peers <engine: disk|rocksdb|lmdb> <directory> <documents> <updates> <file of 1 KB documents>
 * Prints "<name> <operations per second>" lines, the best of ROUNDS. Every write is durable before the next one begins.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 1024, SAMPLES = 256, SINGLES = 1000, READS = 200000, ROUNDS = 3, BESIDE_FACTOR = 3 };

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

/* Copies a value out, and lets no compiler see that nobody looks at the copy. */
static void copy_out(const void *value) {
    static char copy[SIZE];
    memcpy(copy, value, SIZE);
    __asm__ volatile("" : : "r"(copy) : "memory");
}

static void fail(const char *what) {
    fprintf(stderr, "native_peers: %s\n", what);
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

/* ---- a reader beside a writer */

static volatile int writer_done;
static uint64_t reader_reads;

/* `read_one` until the writer is done; `write` makes `count` durable updates in batches of 64. */
static void beside(void *(*reader)(void *), void (*write)(void), uint64_t count) {
    pthread_t thread;
    writer_done = 0;
    reader_reads = 0;
    pthread_create(&thread, NULL, reader, NULL);
    double start = now();
    for (uint64_t done = 0; done < count; done += 64) write();
    double spent = now() - start;
    uint64_t reads = reader_reads;
    writer_done = 1;
    pthread_join(thread, NULL);
    printf("beside_reads %.0f\nbeside_writes %.0f\n", reads / spent, count / spent);
    fflush(stdout);
}

/* ---- callers: so many threads with one document each, who leave the sharing of commits to the engine */

static uint64_t calls_left;

static uint64_t thread_random(uint64_t *mine) {
    *mine ^= *mine << 13;
    *mine ^= *mine >> 7;
    *mine ^= *mine << 17;
    return *mine;
}

static void callers(int count, void *(*caller)(void *), uint64_t calls) {
    pthread_t threads[256];
    uint64_t states[256];
    for (int round = 0; round < 2; round++) {
        double start = now();
        calls_left = calls;
        for (int i = 0; i < count; i++) {
            states[i] = next_random() | 1;
            pthread_create(&threads[i], NULL, caller, &states[i]);
        }
        for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
        round_end(calls, start);
    }
}

static int call_taken(void) {
    uint64_t left = __atomic_load_n(&calls_left, __ATOMIC_RELAXED);
    while (left && !__atomic_compare_exchange_n(&calls_left, &left, left - 1, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    return left != 0;
}

static uint64_t reader_state = 1181783497276652981ull;

static uint64_t reader_random(void) {
    reader_state ^= reader_state << 13;
    reader_state ^= reader_state >> 7;
    reader_state ^= reader_state << 17;
    return reader_state;
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

static rocksdb_readoptions_t *rocks_read;

static void rocks_get(uint64_t random) {
    char *error = NULL, key[64];
    size_t found;
    const rocksdb_snapshot_t *snapshot = rocksdb_create_snapshot(rocks);
    rocksdb_readoptions_set_snapshot(rocks_read, snapshot);
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned(rocks, rocks_read, key, make_key(key, random % documents), &error);
    rocks_check(error);
    copy_out(rocksdb_pinnableslice_value(slice, &found));
    rocksdb_pinnableslice_destroy(slice);
    rocksdb_release_snapshot(rocks, snapshot);
}

static void *rocks_reader(void *unused) {
    for (; !writer_done; reader_reads++) rocks_get(reader_random());
    return unused;
}

static void *rocks_caller(void *mine) {
    char key[64];
    while (call_taken()) {
        char *error = NULL;
        size_t size = make_key(key, thread_random(mine) % documents);
        rocksdb_put(rocks, rocks_durable, key, size, samples[thread_random(mine) % SAMPLES], SIZE, &error);
        rocks_check(error);
    }
    return NULL;
}

static void rocks_write_64(void) { rocks_batch(64, 0, 1, rocks_durable); }

static void run_rocksdb(const char *directory) {
    char *error = NULL;
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
    callers(64, rocks_caller, updates / 4);
    report("callers64");
    callers(256, rocks_caller, updates / 4);
    report("callers256");
    rocks_read = rocksdb_readoptions_create();
    for (int round = 0; round < ROUNDS; round++) {
        start = now();
        for (int i = 0; i < READS; i++) rocks_get(next_random());
        round_end(READS, start);
    }
    report("reads");
    rocksdb_readoptions_t *whole = rocksdb_readoptions_create();
    for (int round = 0; round < ROUNDS; round++) {
        start = now();
        rocksdb_iterator_t *iterator = rocksdb_create_iterator(rocks, whole);
        for (rocksdb_iter_seek_to_first(iterator); rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
            size_t found;
            copy_out(rocksdb_iter_value(iterator, &found));
        }
        rocksdb_iter_destroy(iterator);
        round_end(documents, start);
    }
    report("scan");
    beside(rocks_reader, rocks_write_64, updates * BESIDE_FACTOR);
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

static MDB_txn *lmdb_reading;

static void lmdb_get(uint64_t random) {
    char text[64];
    MDB_val key = {make_key(text, random % documents), text}, value;
    lmdb_check(mdb_txn_renew(lmdb_reading));
    lmdb_check(mdb_get(lmdb_reading, lmdb_database, &key, &value));
    copy_out(value.mv_data);
    mdb_txn_reset(lmdb_reading);
}

static void *lmdb_reader(void *unused) {
    for (; !writer_done; reader_reads++) lmdb_get(reader_random());
    return unused;
}

static void lmdb_write_64(void) { lmdb_batch(64, 0, 1); }

static void run_lmdb(const char *directory) {
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
    lmdb_check(mdb_txn_begin(lmdb, NULL, MDB_RDONLY, &lmdb_reading));
    mdb_txn_reset(lmdb_reading);
    for (int round = 0; round < ROUNDS; round++) {
        start = now();
        for (int i = 0; i < READS; i++) lmdb_get(next_random());
        round_end(READS, start);
    }
    report("reads");
    for (int round = 0; round < ROUNDS; round++) {
        MDB_cursor *cursor;
        MDB_val key, value;
        start = now();
        lmdb_check(mdb_txn_renew(lmdb_reading));
        lmdb_check(mdb_cursor_open(lmdb_reading, lmdb_database, &cursor));
        while (!mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) copy_out(value.mv_data);
        mdb_cursor_close(cursor);
        mdb_txn_reset(lmdb_reading);
        round_end(documents, start);
    }
    report("scan");
    beside(lmdb_reader, lmdb_write_64, updates);
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
