/* schema.c - the same tables as a JSON Schema (2020-12), for editors and for people.
 *
 * Wherever a value may be "${NAME}" the schema allows such a string beside the proper
 * type: bounds are judged for numbers alone and patterns for strings alone, so both
 * stand in one schema. Defaults are printed from a struct that was just reset.
 *
 * Any thread; it makes a snapshot of its own. */
#include "config/config_priv.h"

#define VARIABLE "[$][{].*[}]"

void schema_text(struct printer *printer, const char *type, const char *pattern)
{
    bool is_any = pattern != NULL && strcmp(pattern, ".*") == 0;

    print_name(printer, STR("type"));
    if (type == NULL)
        buf_add_json(printer->out, STR("string"));
    else
        buf_addf(printer->out, "[\"%s\", \"string\"]", type);
    if (is_any)
        return;
    print_name(printer, STR("pattern"));
    if (pattern == NULL)
        buf_addf(printer->out, "\"^%s$\"", VARIABLE);
    else
        buf_addf(printer->out, "\"^(%s|.*%s.*)$\"", pattern, VARIABLE);
}

static void schema_default(struct printer *printer, const struct field *field, const void *base)
{
    if (field->initial == NULL)
        return;
    print_name(printer, STR("default"));
    if (field->kind == &kind_workers) /* what it means here is another machine's */
        buf_add_json(printer->out, str_of(field->initial));
    else if (field->kind == &kind_map)
        buf_add_str(printer->out, str_of(field->initial));
    else
        field->kind->print(printer, field, base);
}

static void schema_required(struct printer *printer, const struct section *section)
{
    bool is_any = false;

    for (size_t i = 0; i < section->count; i++) {
        if (!section->fields[i].is_required)
            continue;
        if (!is_any) {
            print_name(printer, STR("required"));
            buf_add_char(printer->out, '[');
        }
        buf_addf(printer->out, "%s\"%s\"", is_any ? ", " : "", section->fields[i].name);
        is_any = true;
    }
    if (is_any)
        buf_add_char(printer->out, ']');
}

void schema_section(struct printer *printer, const struct section *section, const void *base)
{
    print_name(printer, STR("type"));
    buf_add_json(printer->out, STR("object"));
    print_name(printer, STR("properties"));
    print_begin(printer, '{');
    for (size_t i = 0; i < section->count; i++) {
        const struct field *field = &section->fields[i];
        print_name(printer, str_of(field->name));
        print_begin(printer, '{');
        print_name(printer, STR("description"));
        buf_add_json(printer->out, str_of(field->about));
        field->kind->schema(printer, field, base);
        schema_default(printer, field, base);
        print_end(printer, '}');
    }
    print_end(printer, '}');
    schema_required(printer, section);
    print_name(printer, STR("additionalProperties"));
    buf_add_str(printer->out, STR("false"));
}

bool config_write_schema(struct buf *out)
{
    struct faults *faults = faults_new();
    struct reader reader = {.faults = faults};
    struct printer printer = {.out = out, .path = buf_new(0), .reader = &reader};
    struct snapshot *snapshot = faults != NULL ? snapshot_new(&reader, STR("schema")) : NULL;
    struct config *config = snapshot != NULL ? &snapshot->config : NULL;

    if (config != NULL) {
        print_begin(&printer, '{');
        print_name(&printer, STR("$schema"));
        buf_add_json(out, STR("https://json-schema.org/draft/2020-12/schema"));
        print_name(&printer, STR("title"));
        buf_add_json(out, STR("gateway configuration"));
        schema_section(&printer, &root_section, config);
        print_end(&printer, '}');
        buf_add_char(out, '\n');
    }
    config_release(&config);
    faults_free(&faults);
    return snapshot != NULL && !out->is_broken;
}
