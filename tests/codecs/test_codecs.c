/* What codecs.h promises: Pillow's pixels for every kind of file in tests/data/pictures (drawn by its
 * make_pictures.py), and errors for everything that is no whole picture. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "codecs/codecs.h"

#define PICTURES TEST_DATA "/pictures/"

typedef struct file {
    uint8_t *data;
    size_t size;
} file;

static file read_all(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    const long size = ftell(f);
    rewind(f);
    file all = {.data = malloc((size_t)size + 1), .size = (size_t)size};
    assert_non_null(all.data);
    assert_int_equal(fread(all.data, 1, all.size, f), all.size);
    fclose(f);
    return all;
}

static file picture_file(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, PICTURES "%s", name);
    return read_all(path);
}

/* Calls `each` for every fixture that has an expected picture beside it; returns how many there are. */
static int for_pictures(void (*each)(const char *name))
{
    DIR *folder = opendir(PICTURES);
    assert_non_null(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char expected[1024];
        snprintf(expected, sizeof expected, PICTURES "%s.ppm", entry->d_name);
        if (access(expected, R_OK) == 0) {
            each(entry->d_name);
            count++;
        }
    }
    closedir(folder);
    return count;
}

static void compare(const char *name)
{
    const file stored = picture_file(name);
    char expected_name[300];
    snprintf(expected_name, sizeof expected_name, "%s.ppm", name);
    const file expected = picture_file(expected_name);
    int width, height, begin = 0;
    assert_int_equal(sscanf((const char *)expected.data, "P6\n%d %d\n255%n", &width, &height, &begin), 2);

    codec_picture got;
    segrt_error error = {0};
    if (codec_decode(&got, stored.data, stored.size, CODEC_MOST_BYTES, &error))
        fail_msg("%s: %s", name, error.message);
    assert_int_equal(got.width, width);
    assert_int_equal(got.height, height);
    const uint8_t *pixels = expected.data + begin + 1;
    const bool jpeg = strstr(name, ".jpg") != NULL; /* another libjpeg may round another way */
    for (int i = 0; i < 3 * width * height; i++)
        if (abs(got.rgb[i] - pixels[i]) > jpeg)
            fail_msg("%s: sample %d is %d, Pillow's %d", name, i, got.rgb[i], pixels[i]);
    codec_picture_free(&got);
    free(stored.data);
    free(expected.data);
}

static void every_kind_of_picture_gives_pillows_pixels(void **state)
{
    (void)state;
    assert_int_equal(for_pictures(compare), 66);
}

static void truncate_everywhere(const char *name)
{
    const file whole = picture_file(name);
    for (size_t size = 0; size < whole.size; size++) {
        uint8_t *part = malloc(size ? size : 1); /* of its own, so that a read beyond it is seen */
        assert_non_null(part);
        memcpy(part, whole.data, size);
        codec_picture picture;
        segrt_error error = {0};
        if (!codec_decode(&picture, part, size, CODEC_MOST_BYTES, &error))
            fail_msg("%s: its first %zu of %zu bytes pass for a picture", name, size, whole.size);
        assert_null(picture.rgb);
        assert_true(error.status != SEGRT_OK && error.message[0]);
        free(part);
    }
    free(whole.data);
}

static void a_file_cut_at_any_byte_is_an_error(void **state)
{
    (void)state;
    for_pictures(truncate_everywhere);
}

static void flip_bytes(const char *name)
{
    file whole = picture_file(name);
    for (size_t i = 0; i < whole.size; i++) {
        const uint8_t before = whole.data[i];
        whole.data[i] ^= (uint8_t)(1u << i % 8);
        codec_picture picture;
        segrt_error error = {0};
        const segrt_status status = codec_decode(&picture, whole.data, whole.size, (uint64_t)64 << 20, &error);
        assert_int_equal(status == SEGRT_OK, picture.rgb != NULL);
        assert_int_equal(status, error.status);
        codec_picture_free(&picture);
        whole.data[i] = before;
    }
    free(whole.data);
}

static void a_flipped_bit_gives_a_picture_or_an_error(void **state)
{
    (void)state;
    for_pictures(flip_bytes);
}

static void what_is_no_picture_is_refused_by_its_own_name(void **state)
{
    (void)state;
    static const struct {
        const char *name, *words;
        segrt_status status;
    } rows[] = {
        {"text.jpg", "is no picture", SEGRT_UNSUPPORTED},
        {"animated.webp", "animation", SEGRT_UNSUPPORTED},
        {"missing.jpg", "No such file", SEGRT_IO},
        {".", "folder", SEGRT_IO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[1024];
        snprintf(path, sizeof path, PICTURES "%s", rows[i].name);
        codec_picture picture;
        segrt_error error = {0};
        assert_int_equal(codec_read(&picture, path, CODEC_MOST_BYTES, &error), rows[i].status);
        assert_non_null(strstr(error.message, rows[i].words));
        assert_string_equal(error.file + strlen(error.file) - strlen(rows[i].name), rows[i].name);
    }
    static const struct {
        const char *bytes, *words;
        size_t size;
    } memory[] = {{"", "empty", 0},
                  {"GIF89a", "GIF", 6},
                  {"II*\0aaaa", "TIFF", 8},
                  {"P3\n1 1\n255\n1 2 3", "text", 16},
                  {"\0\0\0\x1c"
                   "ftypheic",
                   "HEIF", 12}};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
        codec_picture picture;
        segrt_error error = {0};
        assert_int_not_equal(codec_decode(&picture, memory[i].bytes, memory[i].size, CODEC_MOST_BYTES, &error), SEGRT_OK);
        assert_non_null(strstr(error.message, memory[i].words));
        assert_null(codec_kind(memory[i].bytes, memory[i].size));
    }
    assert_string_equal(codec_kind("\x89PNG\r\n\x1a\n", 8), "PNG");
}

static void a_picture_beyond_the_limit_is_refused_before_memory_is_taken(void **state)
{
    (void)state;
    static const char *const names[] = {"rgb8.png", "444.jpg", "lossless.webp", "gray.pgm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const file stored = picture_file(names[i]);
        codec_picture picture;
        segrt_error error = {0};
        assert_int_equal(codec_decode(&picture, stored.data, stored.size, 1000, &error), SEGRT_UNSUPPORTED);
        assert_non_null(strstr(error.message, "limit"));
        free(stored.data);
    }
    /* A header alone that promises a gigabyte: refused because so short a file cannot hold it. */
    const char *promise = "P6 17000 17000 255\n";
    codec_picture picture;
    segrt_error error = {0};
    assert_int_equal(codec_decode(&picture, promise, strlen(promise), CODEC_MOST_BYTES, &error), SEGRT_MALFORMED);
    assert_non_null(strstr(error.message, "ends early"));
}

static void labels_are_read_as_they_are_stored(void **state)
{
    (void)state;
    enum { W = 5, H = 2 };
    static const uint8_t labels[W * H] = {0, 1, 2, 3, 255, 18, 17, 16, 15, 14};
    static const uint16_t wide[W * H] = {0, 1, 256, 65535, 255, 18, 17, 16, 15, 14};
    static const uint8_t palette[256][3] = {{1, 2, 3}, {4, 5, 6}};
    codec_file indexed, gray, gray16;
    assert_int_equal(codec_png_labels(&indexed, labels, W, H, palette, 256, NULL), SEGRT_OK);
    assert_int_equal(codec_png_gray8(&gray, labels, W, H, NULL), SEGRT_OK);
    assert_int_equal(codec_png_gray16(&gray16, wide, W, H, NULL), SEGRT_OK);
    const codec_file *const files[] = {&indexed, &gray, &gray16};
    for (int k = 0; k < 3; k++) {
        codec_labels read;
        assert_int_equal(codec_decode_labels(&read, files[k]->data, files[k]->size, CODEC_MOST_BYTES, NULL), SEGRT_OK);
        assert_int_equal(read.width, W);
        assert_int_equal(read.height, H);
        for (int i = 0; i < W * H; i++)
            assert_int_equal(read.labels[i], k == 2 ? wide[i] : labels[i]);
        codec_labels_free(&read);
    }
    /* and the palette is in it */
    codec_picture picture;
    assert_int_equal(codec_decode(&picture, indexed.data, indexed.size, CODEC_MOST_BYTES, NULL), SEGRT_OK);
    assert_memory_equal(picture.rgb, palette, 6);
    codec_picture_free(&picture);
    codec_file_free(&indexed);
    codec_file_free(&gray);
    codec_file_free(&gray16);

    static const char *const depths[] = {"palette1.png", "palette2_interlaced.png", "palette4.png", "gray4.png"};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        const file stored = picture_file(depths[i]);
        codec_labels read;
        assert_int_equal(codec_decode_labels(&read, stored.data, stored.size, CODEC_MOST_BYTES, NULL), SEGRT_OK);
        for (int k = 0; k < read.width * read.height; k++)
            assert_true(read.labels[k] < 1 << (depths[i][0] == 'p' ? depths[i][7] - '0' : 4));
        codec_labels_free(&read);
        free(stored.data);
    }
    const file colored = picture_file("rgb8.png");
    codec_labels read;
    assert_int_equal(codec_decode_labels(&read, colored.data, colored.size, CODEC_MOST_BYTES, NULL), SEGRT_UNSUPPORTED);
    free(colored.data);
}

static void pictures_survive_encoding(void **state)
{
    (void)state;
    enum { W = 40, H = 30 };
    uint8_t rgb[3 * W * H];
    for (int i = 0; i < W * H; i++)
        memcpy(rgb + 3 * i, (uint8_t[]){(uint8_t)(i % W * 6), (uint8_t)(i / W * 8), 100}, 3);
    codec_file png, jpeg;
    codec_picture picture;
    assert_int_equal(codec_png_rgb(&png, rgb, W, H, NULL), SEGRT_OK);
    assert_int_equal(codec_decode(&picture, png.data, png.size, CODEC_MOST_BYTES, NULL), SEGRT_OK);
    assert_memory_equal(picture.rgb, rgb, sizeof rgb);
    codec_picture_free(&picture);
    assert_int_equal(codec_jpeg_rgb(&jpeg, rgb, W, H, 95, NULL), SEGRT_OK);
    assert_int_equal(codec_decode(&picture, jpeg.data, jpeg.size, CODEC_MOST_BYTES, NULL), SEGRT_OK);
    for (size_t i = 0; i < sizeof rgb; i++)
        assert_true(abs(picture.rgb[i] - rgb[i]) <= 12);
    codec_picture_free(&picture);
    codec_file_free(&png);
    codec_file_free(&jpeg);
    segrt_error error = {0};
    assert_int_equal(codec_png_labels(&png, rgb, W, H, (const uint8_t(*)[3])rgb, 257, &error), SEGRT_ARGUMENT);
    assert_int_equal(codec_png_rgb(&png, rgb, 0, H, NULL), SEGRT_ARGUMENT);
    assert_null(png.data);
}

static void a_file_is_written_whole_or_not_at_all(void **state)
{
    (void)state;
    char folder[] = "/tmp/segrt_codecs_XXXXXX", path[64], missing[80];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/mask.png", folder);
    snprintf(missing, sizeof missing, "%s/none/mask.png", folder);
    assert_int_equal(codec_write(path, "old", 3, NULL), SEGRT_OK);
    assert_int_equal(codec_write(path, "newer", 5, NULL), SEGRT_OK);
    const file written = read_all(path);
    assert_int_equal(written.size, 5);
    assert_memory_equal(written.data, "newer", 5);
    free(written.data);

    segrt_error error = {0};
    assert_int_equal(codec_write(missing, "x", 1, &error), SEGRT_IO);
    assert_non_null(strstr(error.message, "No such file"));
    if (access("/dev/full", W_OK) == 0) {
        error = (segrt_error){0};
        assert_int_equal(codec_write("/dev/full", "x", 1, &error), SEGRT_IO);
        assert_non_null(strstr(error.message, "No space left"));
        struct stat facts;
        assert_int_equal(stat("/dev/full", &facts), 0);
        assert_true(S_ISCHR(facts.st_mode)); /* a device is written to, not replaced */
    }
    DIR *left = opendir(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(left));)
        count += entry->d_name[0] != '.';
    closedir(left);
    assert_int_equal(count, 1);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_picture_gives_pillows_pixels),
        cmocka_unit_test(a_file_cut_at_any_byte_is_an_error),
        cmocka_unit_test(a_flipped_bit_gives_a_picture_or_an_error),
        cmocka_unit_test(what_is_no_picture_is_refused_by_its_own_name),
        cmocka_unit_test(a_picture_beyond_the_limit_is_refused_before_memory_is_taken),
        cmocka_unit_test(labels_are_read_as_they_are_stored),
        cmocka_unit_test(pictures_survive_encoding),
        cmocka_unit_test(a_file_is_written_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
