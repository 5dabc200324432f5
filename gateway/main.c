/* main.c - arguments and exit status; what runs is worker/process.c.
 *
 * Exit status: 0 after a clean stop, 1 for a configuration fault, 2 for bad usage, 3 when
 * a listener cannot be opened. */
#include "base/base.h"
#include "client/client.h"
#include "config/config.h"
#include "loop/loop.h"
#include "server/server.h"
#include "worker/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_FILE "config/gateway.json"

enum command { RUN, CHECK_ONLY, SCHEMA, PRINT_CONFIG, VERSION, BAD_USAGE };

static void print_faults(const struct faults *faults)
{
    for (uint32_t i = 0; i < faults_count(faults); i++)
        fprintf(stderr, "%.*s\n", STR_ARG(faults_text(faults, i)));
}

/* ---- commands ---- */

static int print_version(void)
{
    const char *lacks = server_library_lacks();

    printf("gateway %s\nlibmicrohttpd %s%s%s%s\n%s\n", GATEWAY_VERSION, server_library_version(),
           lacks[0] != '\0' ? " (" : "", lacks, lacks[0] != '\0' ? ")" : "",
           client_library_version());
    printf("libuv %s\n", loop_library_version());
    return 0;
}

static int print_buf(struct buf *text, bool ok)
{
    if (ok)
        fwrite(text->ptr, 1, text->len, stdout);
    buf_free(text);
    return ok && fflush(stdout) == 0 ? 0 : EXIT_FAULT;
}

static int print_schema(void)
{
    struct buf text = buf_new(4 * 1024 * 1024);

    return print_buf(&text, config_write_schema(&text));
}

static int with_config(enum command command, const char *file)
{
    struct faults *faults = faults_new();
    struct config *config;
    struct buf text;
    int status = EXIT_FAULT;

    CHECK(faults != NULL);
    config = process_load(file, faults);
    print_faults(faults);
    faults_free(&faults);
    if (config == NULL)
        return EXIT_FAULT;
    if (command == CHECK_ONLY) {
        printf("%s: ok\n", config->source.ptr);
        status = 0;
    } else if (command == PRINT_CONFIG) {
        text = buf_new(64 * 1024 * 1024);
        status = print_buf(&text, config_write(config, &text, false));
    } else {
        status = process_run(file, config);
    }
    config_release(&config);
    return status;
}

static enum command parse(int count, char **words, const char **file)
{
    enum command command = RUN;

    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "-c") == 0 && i + 1 < count)
            *file = words[++i];
        else if (strcmp(words[i], "--check") == 0)
            command = CHECK_ONLY;
        else if (strcmp(words[i], "--schema") == 0)
            command = SCHEMA;
        else if (strcmp(words[i], "--print-config") == 0)
            command = PRINT_CONFIG;
        else if (strcmp(words[i], "--version") == 0)
            command = VERSION;
        else
            return BAD_USAGE;
    }
    if (*file == NULL && access(DEFAULT_FILE, F_OK) == 0)
        *file = DEFAULT_FILE;
    return command;
}

int main(int count, char **words)
{
    const char *file = NULL;
    enum command command = parse(count, words, &file);

    switch (command) {
    case BAD_USAGE:
        fprintf(stderr,
                "usage: gateway [--check | --schema | --print-config | --version] [-c FILE]\n");
        return EXIT_USAGE;
    case VERSION:
        return print_version();
    case SCHEMA:
        return print_schema();
    case RUN:
    case CHECK_ONLY:
    case PRINT_CONFIG:
        break;
    }
    return with_config(command, file);
}
