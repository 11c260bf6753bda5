/* The loops of embedded.py through pynori.h: puts one by one, batches of 100, gets; prints "name rate" lines. */
#define PYNORI_IMPLEMENTATION
#include <pynori.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 100

static pynori_error error;

static void must(int code) {
    if (code == PYNORI_OK) return;
    fprintf(stderr, "%d %s\n", code, error.message);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static size_t name(char *id, unsigned long number) { return (size_t)sprintf(id, "orders/%lu", number); }

static unsigned long dice(unsigned long number) { return number * 2654435761UL; }

int main(int words, char **arguments) {
    unsigned long singles, documents, gets, index;
    static char json[1 << 16];
    pynori_document document = PYNORI_DOCUMENT_INIT;
    pynori_database *database;
    pynori_batch *batch;
    size_t size;
    char id[32];
    double start;
    if (words != 5) return 2;
    singles = strtoul(arguments[2], NULL, 10);
    documents = strtoul(arguments[3], NULL, 10);
    gets = strtoul(arguments[4], NULL, 10);
    size = fread(json, 1, sizeof json, stdin);
    must(pynori_start(&error));
    must(pynori_open(arguments[1], NULL, &database, &error));
    start = now();
    for (index = 0; index < singles; index++)
        must(pynori_put(database, id, name(id, index), json, size, NULL, 0, NULL, &error));
    printf("put %f\n", (double)singles / (now() - start));
    start = now();
    for (index = 0; index < documents; index += BATCH) {
        unsigned long place;
        must(pynori_batch_begin(database, &batch, &error));
        for (place = index; place < index + BATCH; place++)
            must(pynori_batch_put(batch, id, name(id, place), json, size, NULL, 0, &error));
        must(pynori_batch_commit(batch, &error));
        pynori_batch_end(batch);
    }
    printf("batch %f\n", (double)documents / (now() - start));
    start = now();
    for (index = 0; index < gets; index++)
        must(pynori_get(database, id, name(id, dice(index) % documents), &document, &error));
    printf("get %f\n", (double)gets / (now() - start));
    pynori_document_release(&document);
    must(pynori_close(database, &error));
    return 0;
}
