/* The loops of bench_trees over LMDB's C API: same keys, same values, same order as tree_loops.pyx. */
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13; *state ^= *state >> 7; *state ^= *state << 17;
    return *state;
}

static size_t make_key(int integer, uint64_t number, uint8_t *key) {
    if (integer) {
        number = __builtin_bswap64(number);
        memcpy(key, &number, 8);
        return 8;
    }
    return (size_t)sprintf((char *)key, "orders/%07llu", (unsigned long long)number);
}

static MDB_env *env;
static MDB_dbi dbis[2];
static MDB_txn *txn;

int lmdb_open(const char *directory) {
    int code = mdb_env_create(&env);
    if (!code) code = mdb_env_set_mapsize(env, 8ULL << 30);
    if (!code) code = mdb_env_set_maxdbs(env, 4);
    if (!code) code = mdb_env_open(env, directory, MDB_NOSYNC | MDB_WRITEMAP, 0644);
    if (!code) code = mdb_txn_begin(env, NULL, 0, &txn);
    if (!code) code = mdb_dbi_open(txn, "integer", MDB_CREATE, &dbis[1]);
    if (!code) code = mdb_dbi_open(txn, "string", MDB_CREATE, &dbis[0]);
    if (!code) code = mdb_txn_commit(txn);
    return code;
}

int lmdb_begin(int read_only) { return mdb_txn_begin(env, NULL, read_only ? MDB_RDONLY : 0, &txn); }
int lmdb_commit(void) { return mdb_txn_commit(txn); }
void lmdb_abort(void) { mdb_txn_abort(txn); }

/* Numbers first .. first + count - 1 in order (append) or `count` random ones below `range`. Seconds. */
double lmdb_put(int integer, uint64_t first, uint64_t count, uint64_t range, uint64_t value_size, uint64_t seed) {
    static uint8_t value[65536];
    uint8_t key[32];
    double start = now();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = range ? next_random(&seed) % range : first + i;
        MDB_val k = {make_key(integer, number, key), key}, v = {value_size, value};
        memcpy(value, &i, 8);
        if (mdb_put(txn, dbis[integer], &k, &v, range ? 0 : MDB_APPEND)) return -1;
    }
    return now() - start;
}

double lmdb_get(int integer, uint64_t count, uint64_t range, uint64_t seed, int own_snapshot) {
    static uint8_t out[65536];
    uint8_t key[32];
    double start = now();
    for (uint64_t i = 0; i < count; i++) {
        MDB_val k = {make_key(integer, next_random(&seed) % range, key), key}, v;
        if (own_snapshot) { mdb_txn_reset(txn); mdb_txn_renew(txn); }
        if (mdb_get(txn, dbis[integer], &k, &v)) return -1;
        memcpy(out, v.mv_data, v.mv_size);
    }
    return now() - start;
}

double lmdb_scan(int integer, uint64_t start_number, uint64_t count) {
    static uint8_t out[65536];
    uint8_t key[32];
    MDB_cursor *cursor;
    MDB_val k = {make_key(integer, start_number, key), key}, v;
    double start = now();
    mdb_cursor_open(txn, dbis[integer], &cursor);
    int code = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    for (uint64_t i = 0; i < count && !code; i++) {
        memcpy(out, v.mv_data, v.mv_size);
        code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return now() - start;
}
