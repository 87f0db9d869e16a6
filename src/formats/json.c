/* json: see json.h. */
#include "formats/json.h"

segrt_status json_parse_object(json_t **out, const void *text, size_t size, uint64_t base, segrt_error *error)
{
    *out = NULL;
    if (size > JSON_TEXT_CAP)
        return fail_at(error, SEGRT_UNSUPPORTED, base, "a JSON text of %zu bytes; at most %d are read", size, (int)JSON_TEXT_CAP);
    json_error_t problem;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    if (!root) {
        if (json_error_code(&problem) == json_error_out_of_memory || !problem.text[0]) /* jansson says nothing where its buffer fails */
            return fail_memory(error, size, "a JSON text");
        const uint64_t at = base + (problem.position > 0 ? (uint64_t)problem.position : 0);
        return fail_at(error, SEGRT_MALFORMED, at, "not valid JSON: %s (line %d)", problem.text, problem.line);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return fail_at(error, SEGRT_MALFORMED, base, "a JSON object was expected, not an array");
    }
    *out = root;
    return SEGRT_OK;
}

bool json_flag(const json_t *object, const char *field, bool otherwise)
{
    const json_t *value = json_object_get(object, field);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

double json_real_or(const json_t *object, const char *field, double otherwise)
{
    const json_t *value = json_object_get(object, field);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

const char *json_text_or(const json_t *object, const char *field, const char *otherwise)
{
    const json_t *value = json_object_get(object, field);
    return json_is_string(value) ? json_string_value(value) : otherwise;
}

segrt_status json_integers(const json_t *object, const char *field, int count, int low, int high, int *out, bool *present,
                           segrt_error *error)
{
    const json_t *value = json_object_get(object, field);
    *present = value && !json_is_null(value);
    if (!*present)
        return SEGRT_OK;
    if (!json_is_array(value) || json_array_size(value) != (size_t)count)
        return fail_with(error, SEGRT_MALFORMED, "\"%s\" must be a list of %d numbers", field, count);
    for (int i = 0; i < count; i++) {
        const json_t *item = json_array_get(value, (size_t)i);
        const json_int_t number = json_is_integer(item) ? json_integer_value(item) : (json_int_t)low - 1;
        if (number < low || number > high)
            return fail_with(error, SEGRT_MALFORMED, "\"%s\"[%d] must be a whole number in %d..%d", field, i, low, high);
        out[i] = (int)number;
    }
    return SEGRT_OK;
}
