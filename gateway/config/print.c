/* print.c - the effective configuration as JSON, from the same tables that read it.
 *
 * One member a line, so that a comment can say which environment variable a value came
 * from. The comment belongs behind the comma that follows the value, so it waits until
 * the line ends. What was never set (a route without a cache) is left out: the text
 * reads back to the same configuration, but for secrets.
 *
 * Any thread: a snapshot does not change. */
#include "config/config_priv.h"

enum { MAX_PATH = 4096 };

static void end_line(struct printer *printer)
{
    if (printer->comment != NULL)
        buf_addf(printer->out, " // from %s", printer->comment);
    printer->comment = NULL;
    buf_addf(printer->out, "\n%*s", (int)printer->depth * 2, "");
}

static void begin_entry(struct printer *printer)
{
    if (!printer->is_first)
        buf_add_char(printer->out, ',');
    end_line(printer);
    printer->is_first = false;
}

void print_begin(struct printer *printer, char bracket)
{
    buf_add_char(printer->out, bracket);
    printer->depth++;
    printer->is_first = true;
}

void print_end(struct printer *printer, char bracket)
{
    printer->depth--;
    if (!printer->is_first)
        end_line(printer);
    buf_add_char(printer->out, bracket);
    printer->is_first = false;
}

void print_name(struct printer *printer, struct str name)
{
    begin_entry(printer);
    buf_add_json(printer->out, name);
    buf_add(printer->out, ": ", 2);
}

void print_item(struct printer *printer)
{
    begin_entry(printer);
}

void print_mark(struct printer *printer)
{
    printer->comment =
        printer->marks != NULL ? map_get(printer->marks, buf_str(&printer->path)) : NULL;
}

void print_field(struct printer *printer, const struct field *field, const void *base)
{
    size_t path_len = printer->path.len;

    if (field->kind->is_set != NULL && !field->kind->is_set(field, base))
        return;
    buf_addf(&printer->path, "%s%s", path_len > 0 ? "." : "", field->name);
    print_name(printer, str_of(field->name));
    print_mark(printer);
    field->kind->print(printer, field, base);
    printer->path.len = path_len;
}

void print_section(struct printer *printer, const struct section *section, const void *base)
{
    print_begin(printer, '{');
    for (size_t i = 0; i < section->count; i++)
        print_field(printer, &section->fields[i], base);
    print_end(printer, '}');
}

static void print_origin(void *arg, struct str path, void *variable)
{
    struct printer *printer = arg;

    print_name(printer, path);
    buf_add_json(printer->out, str_of(variable));
}

bool config_write(const struct config *config, struct buf *out, bool as_json)
{
    const struct snapshot *snapshot = (const struct snapshot *)(const void *)config;
    struct printer printer = {
        .out = out, .path = buf_new(MAX_PATH), .marks = as_json ? NULL : snapshot->marks};

    print_begin(&printer, '{');
    for (size_t i = 0; i < root_section.count; i++)
        print_field(&printer, &root_section.fields[i], config);
    if (as_json) {
        print_name(&printer, STR("from_environment"));
        print_begin(&printer, '{');
        map_each(snapshot->marks, print_origin, &printer);
        print_end(&printer, '}');
    }
    print_end(&printer, '}');
    buf_add_char(out, '\n');
    buf_free(&printer.path);
    return !out->is_broken;
}
