/* Walks through every function of pynori.h and checks what it answers; the argument is a directory to be made. */
#define PYNORI_IMPLEMENTATION
#include <pynori.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define PUTS 50
#define TEXT(text) (text), strlen(text)

static pynori_error error;
static pynori_document document = PYNORI_DOCUMENT_INIT;

#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "line %d: %s does not hold; last error: %d %s\n", __LINE__, #condition, (int)error.code, \
                    error.message); \
            exit(1); \
        } \
    } while (0)
#define EXPECT_CODE(call, expected) \
    do { \
        int got_ = (call); \
        if (got_ != (expected)) { \
            fprintf(stderr, "line %d: %s is %d, not %s: %s\n", __LINE__, #call, got_, #expected, error.message); \
            exit(1); \
        } \
    } while (0)
#define EXPECT_FAILURE(call, expected, words) \
    do { \
        memset(&error, 0, sizeof error); \
        EXPECT_CODE(call, expected); \
        EXPECT(error.code == (expected) && strstr(error.message, words)); \
    } while (0)

static int put(pynori_database *database, const char *id, const char *json, const char *expected) {
    return pynori_put(database, TEXT(id), TEXT(json), expected, expected ? strlen(expected) : 0, &document, &error);
}

static void walk_documents(pynori_database *database) {
    char first[64];
    EXPECT_CODE(put(database, "users/1", "{\"n\":1,\"@metadata\":{\"@collection\":\"Users\"}}", NULL), PYNORI_OK);
    EXPECT(!strcmp(document.id, "users/1") && document.json_size == 0 && document.etag == 1);
    EXPECT(document.change_vector_size < sizeof first && !strncmp(document.change_vector, "A:1-", 4));
    strcpy(first, document.change_vector);
    EXPECT_CODE(pynori_get(database, TEXT("USERS/1"), &document, &error), PYNORI_OK);
    EXPECT(!strcmp(document.id, "users/1") && !strncmp(document.json, "{\"n\":1,\"@metadata\":{\"@collection\":\"Users\"", 40));
    EXPECT(document.json[document.json_size] == 0 && !strcmp(document.change_vector, first));
    EXPECT_CODE(put(database, "users/1", "{\"n\":2,\"@metadata\":{\"@collection\":\"Users\"}}", first), PYNORI_OK);
    EXPECT_FAILURE(put(database, "users/1", "{}", first), PYNORI_CONCURRENCY, "Document users/1 has change vector A:2-");
    EXPECT(strstr(error.message, first));
    EXPECT_FAILURE(put(database, "users/1", "{}", ""), PYNORI_CONCURRENCY, "put was called expecting none");
    EXPECT_FAILURE(put(database, "users/9", "{}", first), PYNORI_CONCURRENCY, "users/9 does not exist");
    EXPECT_FAILURE(put(database, "users/1", "{}", NULL), PYNORI_COLLECTION_MISMATCH, "users/1");
    EXPECT_FAILURE(put(database, "a", "{\"n\":}", NULL), PYNORI_JSON, "");
    EXPECT(error.offset == 5);
    EXPECT_FAILURE(put(database, "a\xff", "{}", NULL), PYNORI_INVALID, "UTF-8");
    EXPECT_FAILURE(pynori_put(database, TEXT("a"), NULL, 0, NULL, 0, NULL, &error), PYNORI_INVALID, "NULL");
    EXPECT_FAILURE(pynori_get(database, TEXT("none"), &document, &error), PYNORI_NOT_FOUND, "no document");
    EXPECT_CODE(pynori_get(database, NULL, 0, &document, NULL), PYNORI_NOT_FOUND);
    EXPECT_CODE(put(database, "", "{}", NULL), PYNORI_OK);
    EXPECT(document.id_size == 36);
    EXPECT_CODE(pynori_delete(database, document.id, document.id_size, NULL, 0, NULL, &error), PYNORI_OK);
    EXPECT_CODE(pynori_delete(database, TEXT("none"), NULL, 0, &document, &error), PYNORI_OK);
    EXPECT(!document.deleted && document.change_vector_size == 0);
    EXPECT(!strcmp(pynori_code_name(PYNORI_CONCURRENCY), "concurrency conflict"));
}

static void walk_batches(pynori_database *database) {
    pynori_batch *batch;
    EXPECT_CODE(pynori_batch_begin(database, &batch, &error), PYNORI_OK);
    EXPECT_CODE(pynori_batch_put(batch, TEXT("logs/"), TEXT("{\"n\":1}"), NULL, 0, &error), PYNORI_OK);
    EXPECT_CODE(pynori_batch_put(batch, TEXT("logs/"), TEXT("not json"), NULL, 0, &error), PYNORI_JSON);
    EXPECT_CODE(pynori_batch_delete(batch, TEXT("none"), NULL, 0, &error), PYNORI_OK);
    EXPECT_CODE(pynori_batch_result(batch, 0, &document, &error), PYNORI_INVALID);
    EXPECT_FAILURE(pynori_close(database, &error), PYNORI_BUSY, "have not ended");
    EXPECT_CODE(pynori_batch_commit(batch, &error), PYNORI_OK);
    EXPECT_CODE(pynori_batch_result(batch, 0, &document, &error), PYNORI_OK);
    EXPECT(!strncmp(document.id, "logs/00000", 10));
    EXPECT_CODE(pynori_batch_result(batch, 1, &document, &error), PYNORI_OK);
    EXPECT(!strcmp(document.id, "none"));
    EXPECT_CODE(pynori_batch_result(batch, 2, &document, &error), PYNORI_INVALID);
    EXPECT_FAILURE(pynori_batch_commit(batch, &error), PYNORI_INVALID, "committed already");
    EXPECT_FAILURE(pynori_batch_delete(batch, TEXT("a"), NULL, 0, &error), PYNORI_INVALID, "committed already");
    pynori_batch_end(batch);
    EXPECT_CODE(pynori_batch_begin(database, &batch, &error), PYNORI_OK);
    EXPECT_CODE(pynori_batch_put(batch, TEXT("rolled/back"), TEXT("{}"), NULL, 0, &error), PYNORI_OK);
    EXPECT_CODE(pynori_batch_put(batch, TEXT("users/1"), TEXT("{}"), "", 0, &error), PYNORI_OK);
    EXPECT_FAILURE(pynori_batch_commit(batch, &error), PYNORI_CONCURRENCY, "users/1");
    EXPECT(error.command == 1);
    pynori_batch_end(batch);
    EXPECT_CODE(pynori_get(database, TEXT("rolled/back"), &document, &error), PYNORI_NOT_FOUND);
    EXPECT_CODE(pynori_batch_begin(database, &batch, &error), PYNORI_OK);
    pynori_batch_end(batch);
}

static size_t count(pynori_snapshot *snapshot, const pynori_scan_options *options, const char *first) {
    pynori_scan *scan;
    size_t found = 0;
    EXPECT_CODE(pynori_scan_begin(snapshot, options, &scan, &error), PYNORI_OK);
    while (pynori_scan_next(scan, &document, &error) == PYNORI_OK)
        if (found++ == 0) EXPECT(!strcmp(document.id, first));
    EXPECT(error.code == PYNORI_NOT_FOUND);
    EXPECT_FAILURE(pynori_snapshot_end(snapshot, &error), PYNORI_BUSY, "scans");
    pynori_scan_end(scan);
    return found;
}

static void walk_snapshots(pynori_database *database) {
    pynori_snapshot *snapshot;
    pynori_scan *scan;
    pynori_scan_options options = {.size = sizeof options};
    int number;
    char id[32];
    for (number = 0; number < 5; number++) {
        snprintf(id, sizeof id, "dogs/%d", number);
        EXPECT_CODE(put(database, id, "{\"@metadata\":{\"@collection\":\"Dogs\"}}", NULL), PYNORI_OK);
    }
    EXPECT_CODE(pynori_snapshot_begin(database, &snapshot, &error), PYNORI_OK);
    EXPECT_CODE(pynori_delete(database, TEXT("dogs/1"), NULL, 0, &document, &error), PYNORI_OK);
    EXPECT(document.deleted);
    EXPECT_CODE(pynori_snapshot_get(snapshot, TEXT("dogs/1"), &document, &error), PYNORI_OK);
    EXPECT_CODE(pynori_get(database, TEXT("dogs/1"), &document, &error), PYNORI_NOT_FOUND);
    EXPECT(count(snapshot, NULL, "dogs/0") == 7);
    options.prefix = "DOGS/", options.prefix_size = 5, options.start_after = "dogs/1", options.start_after_size = 6;
    EXPECT(count(snapshot, &options, "dogs/2") == 3);
    options.limit = 2;
    EXPECT(count(snapshot, &options, "dogs/2") == 2);
    options = (pynori_scan_options){.size = sizeof options, .kind = PYNORI_SCAN_RECENT, .skip = 1, .limit = 3};
    EXPECT(count(snapshot, &options, "dogs/3") == 3);
    options = (pynori_scan_options){.size = sizeof options, .kind = PYNORI_SCAN_COLLECTION, .collection = "dogs",
                                    .collection_size = 4, .backwards = 1};
    EXPECT(count(snapshot, &options, "dogs/4") == 5);
    EXPECT_FAILURE(pynori_close(database, &error), PYNORI_BUSY, "have not ended");
    EXPECT_CODE(pynori_snapshot_end(snapshot, &error), PYNORI_OK);
    EXPECT_CODE(pynori_snapshot_begin(database, &snapshot, &error), PYNORI_OK);
    options = (pynori_scan_options){.size = sizeof options, .kind = PYNORI_SCAN_CHANGES, .since = 4};
    EXPECT_CODE(pynori_scan_begin(snapshot, &options, &scan, &error), PYNORI_OK);
    for (number = 0; pynori_scan_next(scan, &document, &error) == PYNORI_OK; number += document.deleted) {}
    EXPECT(number == 1 && document.deleted && !strcmp(document.id, "dogs/1") && document.json_size == 0);
    pynori_scan_end(scan);
    options.kind = 77;
    EXPECT_FAILURE(pynori_scan_begin(snapshot, &options, &scan, &error), PYNORI_INVALID, "no such kind");
    options = (pynori_scan_options){.size = sizeof options, .prefix = "x", .prefix_size = 0};
    EXPECT_CODE(pynori_snapshot_end(snapshot, &error), PYNORI_OK);
}

static pynori_snapshot *shared;

static void *work(void *argument) {
    pynori_database *database = argument;
    pynori_document mine = PYNORI_DOCUMENT_INIT;
    pynori_error own;
    int number;
    for (number = 0; number < PUTS; number++) {
        if (pynori_put(database, TEXT("threads/"), TEXT("{\"n\":1}"), NULL, 0, &mine, &own)) return "put";
        if (pynori_get(database, mine.id, mine.id_size, &mine, &own)) return "get";
        if (pynori_snapshot_get(shared, mine.id, mine.id_size, &mine, &own) != PYNORI_NOT_FOUND) return "snapshot";
        if (pynori_snapshot_get(shared, TEXT("users/1"), &mine, &own)) return "snapshot's own";
    }
    pynori_document_release(&mine);
    return NULL;
}

static void walk_threads(pynori_database *database) {
    pynori_counters before = {.size = sizeof before}, after = {.size = sizeof after};
    pthread_t threads[THREADS];
    void *wrong;
    int index;
    EXPECT_CODE(pynori_read_counters(database, &before, &error), PYNORI_OK);
    EXPECT_CODE(pynori_snapshot_begin(database, &shared, &error), PYNORI_OK);
    for (index = 0; index < THREADS; index++) EXPECT(!pthread_create(&threads[index], NULL, work, database));
    for (index = 0; index < THREADS; index++) {
        EXPECT(!pthread_join(threads[index], &wrong));
        EXPECT(!wrong);
    }
    EXPECT_CODE(pynori_snapshot_end(shared, &error), PYNORI_OK);
    EXPECT_CODE(pynori_read_counters(database, &after, &error), PYNORI_OK);
    EXPECT(after.documents == before.documents + THREADS * PUTS && after.size == sizeof after);
    EXPECT(after.transactions - before.transactions == THREADS * PUTS);
    EXPECT(after.commits - before.commits < THREADS * PUTS && after.readers == 0);
    /* A program that was built when the struct was shorter. */
    before = (pynori_counters){.size = offsetof(pynori_counters, tombstones), .tombstones = 12345};
    EXPECT_CODE(pynori_read_counters(database, &before, &error), PYNORI_OK);
    EXPECT(before.documents == after.documents && before.tombstones == 12345);
}

static void walk_fork(pynori_database *database) {
    pynori_database *own;
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        EXPECT_FAILURE(pynori_get(database, TEXT("users/1"), &document, &error), PYNORI_CLOSED, "before a fork");
        EXPECT_FAILURE(put(database, "a", "{}", NULL), PYNORI_CLOSED, "before a fork");
        EXPECT_FAILURE(pynori_close(database, &error), PYNORI_CLOSED, "before a fork");
        EXPECT_CODE(pynori_open("mem://", NULL, &own, &error), PYNORI_OK);
        EXPECT_CODE(put(own, "a", "{}", NULL), PYNORI_OK);
        EXPECT_CODE(pynori_close(own, &error), PYNORI_OK);
        _exit(0);
    }
    EXPECT(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    EXPECT_CODE(put(database, "after", "{}", NULL), PYNORI_OK);
}

int main(int words, char **arguments) {
    pynori_options options = {.size = offsetof(pynori_options, node_tag), .flags = PYNORI_MUST_EXIST, .node_tag = "!"};
    pynori_database *database, *second;
    char holder[64];
    EXPECT(words == 2);
    EXPECT_CODE(pynori_start(&error), PYNORI_OK);
    EXPECT_CODE(pynori_start(&error), PYNORI_OK);
    EXPECT_FAILURE(pynori_open(arguments[1], &options, &database, &error), PYNORI_NOT_FOUND, "no such directory");
    EXPECT(!database);
    EXPECT_FAILURE(pynori_open(NULL, NULL, &database, &error), PYNORI_INVALID, "NULL");
    EXPECT_CODE(pynori_open(arguments[1], NULL, &database, &error), PYNORI_OK);
    snprintf(holder, sizeof holder, "is open already, by process %ld ", (long)getpid());
    EXPECT_FAILURE(pynori_open(arguments[1], NULL, &second, &error), PYNORI_BUSY, holder);
    walk_documents(database);
    walk_batches(database);
    walk_snapshots(database);
    walk_threads(database);
    walk_fork(database);
    EXPECT_CODE(pynori_checkpoint(database, &error), PYNORI_OK);
    EXPECT_CODE(pynori_close(database, &error), PYNORI_OK);
    EXPECT_CODE(pynori_open(arguments[1], &options, &database, &error), PYNORI_OK);
    EXPECT_CODE(pynori_get(database, TEXT("after"), &document, &error), PYNORI_OK);
    EXPECT_CODE(pynori_close(database, &error), PYNORI_OK);
    EXPECT_CODE(pynori_open("mem://", NULL, &database, &error), PYNORI_OK);
    EXPECT_CODE(pynori_get(database, TEXT("after"), &document, &error), PYNORI_NOT_FOUND);
    EXPECT_CODE(pynori_close(database, &error), PYNORI_OK);
    pynori_document_release(&document);
    EXPECT(document.memory == NULL);
    EXPECT_FAILURE(pynori_close(NULL, &error), PYNORI_INVALID, "NULL");
    puts("walked");
    return 0;
}
