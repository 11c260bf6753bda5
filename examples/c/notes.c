/* A notebook on the command line: documents, a batch, a snapshot and a scan through pynori.h.
 *
 *     cc notes.c $(python -m pynori.embed --cflags --libs) -o notes
 *     ./notes DIRECTORY add "buy milk"      prints the note's id
 *     ./notes DIRECTORY done ID ...         all of them or none
 *     ./notes DIRECTORY list
 */
#define PYNORI_IMPLEMENTATION
#include <pynori.h>

#include <stdio.h>
#include <string.h>

#define COLLECTION "\"@metadata\":{\"@collection\":\"Notes\"}"

static pynori_error error;

static int failed(const char *doing) {
    fprintf(stderr, "%s: %s (%s)\n", doing, error.message, pynori_table ? pynori_code_name(error.code) : "start");
    return 1;
}

/* `text` between quotes; what JSON wants escaped is left to a real program. */
static int add(pynori_database *database, const char *text) {
    pynori_document written = PYNORI_DOCUMENT_INIT;
    char json[2048];
    int size = snprintf(json, sizeof json, "{\"text\":\"%s\",\"done\":false," COLLECTION "}", text);
    if (size < 0 || (size_t)size >= sizeof json) return 2;
    /* An id that ends in '/' gets a number behind it. */
    if (pynori_put(database, "notes/", 6, json, (size_t)size, NULL, 0, &written, &error)) return failed("add");
    printf("%s\n", written.id);
    pynori_document_release(&written);
    return 0;
}

/* One transaction for all notes; each must still be what was read. */
static int done(pynori_database *database, int count, char **ids) {
    static const char json[] = "{\"text\":\"(done)\",\"done\":true," COLLECTION "}";
    pynori_document note = PYNORI_DOCUMENT_INIT;
    pynori_batch *batch;
    int code, i;
    if (pynori_batch_begin(database, &batch, &error)) return failed("begin");
    for (i = 0, code = PYNORI_OK; i < count && code == PYNORI_OK; i++) {
        code = pynori_get(database, ids[i], strlen(ids[i]), &note, &error);
        if (code == PYNORI_OK)
            code = pynori_batch_put(batch, ids[i], strlen(ids[i]), json, sizeof json - 1, note.change_vector,
                                    note.change_vector_size, &error);
    }
    if (code == PYNORI_OK) code = pynori_batch_commit(batch, &error);
    pynori_batch_end(batch);
    pynori_document_release(&note);
    return code == PYNORI_OK ? 0 : failed("done");
}

static int list(pynori_database *database) {
    pynori_scan_options options = {.size = sizeof options, .kind = PYNORI_SCAN_COLLECTION, .collection = "Notes",
                                   .collection_size = 5};
    pynori_document note = PYNORI_DOCUMENT_INIT;
    pynori_snapshot *snapshot;
    pynori_scan *scan;
    int code;
    if (pynori_snapshot_begin(database, &snapshot, &error)) return failed("snapshot");
    code = pynori_scan_begin(snapshot, &options, &scan, &error);
    if (code == PYNORI_OK) {
        while ((code = pynori_scan_next(scan, &note, &error)) == PYNORI_OK)
            printf("%s %.*s\n", note.id, (int)note.json_size, note.json);
        pynori_scan_end(scan);
    }
    pynori_document_release(&note);
    pynori_snapshot_end(snapshot, NULL);
    return code == PYNORI_NOT_FOUND ? 0 : failed("list");
}

int main(int count, char **words) {
    pynori_database *database;
    int result = 2;
    if (count < 3) {
        fprintf(stderr, "usage: notes DIRECTORY add TEXT | done ID ... | list\n");
        return 2;
    }
    if (pynori_start(&error)) return failed("start");
    if (pynori_open(words[1], NULL, &database, &error)) return failed("open");
    if (!strcmp(words[2], "add") && count == 4) result = add(database, words[3]);
    if (!strcmp(words[2], "done") && count > 3) result = done(database, count - 3, words + 3);
    if (!strcmp(words[2], "list") && count == 3) result = list(database);
    if (pynori_close(database, &error)) return failed("close");
    return result;
}
