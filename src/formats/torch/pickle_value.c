/* pickle_value: looking into what a pickle holds; see pickle.h. */
#include <string.h>

#include "formats/torch/pickle.h"

bool pickle_is_text(const pickle_value *v, const char *text)
{
    return v && v->kind == PICKLE_TEXT && v->text.size == strlen(text) && !memcmp(v->text.data ? v->text.data : "", text, v->text.size);
}

bool pickle_is_global(const pickle_value *v, const char *module, const char *name)
{
    return v && v->kind == PICKLE_GLOBAL && (!module || !strcmp(v->global.module, module)) && !strcmp(v->global.name, name);
}

bool pickle_calls(const pickle_value *v, const char *module, const char *name)
{
    return v && v->kind == PICKLE_OBJECT && pickle_is_global(v->object.callable, module, name);
}

size_t pickle_length(const pickle_value *v)
{
    const bool holds = v && (v->kind == PICKLE_TUPLE || v->kind == PICKLE_LIST || (v->kind == PICKLE_OBJECT && !v->pairs));
    return holds ? v->count : 0;
}

const pickle_value *pickle_item(const pickle_value *v, size_t i)
{
    return i < pickle_length(v) ? v->items[i] : NULL;
}

/* OrderedDict([(key, value), ...]), as older Pythons write it: the list of pairs, else NULL. */
static const pickle_value *listed_pairs(const pickle_value *v)
{
    return pickle_calls(v, "collections", "OrderedDict") && !v->count ? pickle_item(v->object.arguments, 0) : NULL;
}

bool pickle_is_mapping(const pickle_value *v)
{
    return v &&
           (v->kind == PICKLE_DICT || (v->kind == PICKLE_OBJECT && v->pairs && v->count) || pickle_calls(v, "collections", "OrderedDict"));
}

size_t pickle_pairs(const pickle_value *v)
{
    if (!pickle_is_mapping(v))
        return 0;
    const pickle_value *list = listed_pairs(v);
    return list ? pickle_length(list) : v->count / 2;
}

void pickle_pair(const pickle_value *v, size_t i, const pickle_value **key, const pickle_value **value)
{
    const pickle_value *list = listed_pairs(v);
    if (list) {
        *key = pickle_item(pickle_item(list, i), 0);
        *value = pickle_item(pickle_item(list, i), 1);
    } else {
        *key = v->items[2 * i];
        *value = v->items[2 * i + 1];
    }
}

const pickle_value *pickle_get(const pickle_value *mapping, const char *key)
{
    for (size_t i = pickle_pairs(mapping); i-- > 0;) { /* the last one counts */
        const pickle_value *k, *v;
        pickle_pair(mapping, i, &k, &v);
        if (pickle_is_text(k, key))
            return v;
    }
    return NULL;
}

int64_t pickle_integer_or(const pickle_value *v, int64_t low, int64_t high, int64_t otherwise)
{
    return v && v->kind == PICKLE_INTEGER && v->integer >= low && v->integer <= high ? v->integer : otherwise;
}
