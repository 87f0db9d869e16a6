/* draw_scene: a street on a fair day, as a PPM: what demo.sh segments where no photograph can be had.
 *
 *     draw_scene street.ppm
 *
 * A small ray caster: the ground is a plane that carries road, kerb and pavement; everything else is a
 * list of frustums, ellipsoids and cylinders with procedural surfaces, one sun and its shadows.  Metres;
 * x to the right, y up, z ahead. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 800, HEIGHT = 600, SAMPLES = 2, MOST_SOLIDS = 700 }; /* SAMPLES x SAMPLES rays a pixel */

typedef struct vec {
    double x, y, z;
} vec;

static vec add(vec a, vec b)
{
    return (vec){a.x + b.x, a.y + b.y, a.z + b.z};
}
static vec sub(vec a, vec b)
{
    return (vec){a.x - b.x, a.y - b.y, a.z - b.z};
}
static vec times(vec a, double s)
{
    return (vec){a.x * s, a.y * s, a.z * s};
}
static vec both(vec a, vec b)
{
    return (vec){a.x * b.x, a.y * b.y, a.z * b.z};
}
static double dot(vec a, vec b)
{
    return a.x * b.x + a.y * b.y + a.z * b.z;
}
static vec unit(vec a)
{
    return times(a, 1 / sqrt(dot(a, a)));
}
static vec mix(vec a, vec b, double t)
{
    return add(times(a, 1 - t), times(b, t));
}
static double clamp(double v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* ----------------------------------------------------------------------------------------- noise */

static double lattice(int x, int y, int z)
{
    uint32_t h = (uint32_t)x * 374761393u + (uint32_t)y * 668265263u + (uint32_t)z * 2246822519u;
    h = (h ^ h >> 13) * 1274126177u;
    return (double)((h ^ h >> 16) & 0xffffff) / 0xffffff;
}

/* Smooth, 0..1, of wavelength 1. */
static double noise(vec p)
{
    const int x = (int)floor(p.x), y = (int)floor(p.y), z = (int)floor(p.z);
    const double fx = p.x - x, fy = p.y - y, fz = p.z - z, u = fx * fx * (3 - 2 * fx), v = fy * fy * (3 - 2 * fy),
                 w = fz * fz * (3 - 2 * fz);
    double sum = 0;
    for (int i = 0; i < 8; i++)
        sum += lattice(x + (i & 1), y + (i >> 1 & 1), z + (i >> 2)) * (i & 1 ? u : 1 - u) * (i & 2 ? v : 1 - v) * (i & 4 ? w : 1 - w);
    return sum;
}

static double clouds(vec p) /* four octaves */
{
    double sum = 0, weight = 0.5;
    for (int i = 0; i < 4; i++, weight /= 2, p = times(p, 2.03))
        sum += weight * noise(p);
    return sum;
}

/* ---------------------------------------------------------------------------------------- solids */

typedef enum surface { PAINT, GLASS, TYRE, METAL, BRICK, ROOF, LEAVES, BARK, CLOTH, SKIN, LAMP } surface;
typedef enum shape { FRUSTUM, ELLIPSOID, UPRIGHT, AXLE } shape; /* cylinders: upright, and along x */

typedef struct solid {
    shape shape;
    surface surface;
    vec at, half;        /* centre and half sides; a frustum's half.x and half.z are its bottom's */
    double top_x, top_z; /* FRUSTUM: its top's half sides */
    vec color;
} solid;

static solid solids[MOST_SOLIDS];
static int solid_count;

static solid *put(shape s, surface m, vec at, vec half, vec color)
{
    if (solid_count == MOST_SOLIDS)
        abort(); /* the scene below is fixed: this is for who changes it */
    solids[solid_count] = (solid){.shape = s, .surface = m, .at = at, .half = half, .top_x = half.x, .top_z = half.z, .color = color};
    return &solids[solid_count++];
}

typedef struct hit {
    double distance;
    vec normal;
    const solid *solid;
} hit;

static bool keep(hit *best, double t, const solid *s, vec normal)
{
    if (t <= 1e-4 || t >= best->distance)
        return false;
    *best = (hit){.distance = t, .normal = normal, .solid = s};
    return true;
}

static void meet_frustum(const solid *s, vec from, vec to, hit *best)
{
    const double lean_x = (s->half.x - s->top_x) / (2 * s->half.y), lean_z = (s->half.z - s->top_z) / (2 * s->half.y);
    const double mid_x = (s->half.x + s->top_x) / 2, mid_z = (s->half.z + s->top_z) / 2;
    const struct {
        vec normal;
        double distance;
    } sides[] = {{{1, lean_x, 0}, mid_x},  {{-1, lean_x, 0}, mid_x}, {{0, lean_z, 1}, mid_z},
                 {{0, lean_z, -1}, mid_z}, {{0, 1, 0}, s->half.y},   {{0, -1, 0}, s->half.y}};
    const vec p = sub(from, s->at);
    double enter = -1e9, leave = 1e9;
    vec normal = {0, 1, 0};
    for (int i = 0; i < 6; i++) {
        const double toward = dot(sides[i].normal, to), gap = sides[i].distance - dot(sides[i].normal, p);
        if (fabs(toward) < 1e-12) {
            if (gap < 0)
                return;
        } else if (toward < 0) {
            if (gap / toward > enter) {
                enter = gap / toward;
                normal = sides[i].normal;
            }
        } else if (gap / toward < leave)
            leave = gap / toward;
    }
    if (enter < leave)
        keep(best, enter, s, unit(normal));
}

static void meet_round(const solid *s, vec from, vec to, hit *best)
{
    /* In a space where the solid is a unit sphere, or a unit cylinder whose axis does not count. */
    vec p = sub(from, s->at), d = to;
    const vec scale = {s->shape == AXLE ? 0 : 1 / s->half.x, s->shape == UPRIGHT ? 0 : 1 / s->half.y, 1 / s->half.z};
    p = both(p, scale);
    d = both(d, scale);
    const double a = dot(d, d), b = dot(p, d), c = dot(p, p) - 1, root = b * b - a * c;
    if (root < 0 || a < 1e-12)
        return;
    for (int far = 0; far < 2; far++) { /* the far side shows where leaves let one through the near one */
        const double t = (-b + (far ? sqrt(root) : -sqrt(root))) / a;
        const vec point = add(from, times(to, t)), local = sub(point, s->at);
        if ((s->shape == UPRIGHT && fabs(local.y) > s->half.y) || (s->shape == AXLE && fabs(local.x) > s->half.x))
            continue;
        if (s->surface == LEAVES && noise(times(point, 7)) < 0.42)
            continue;
        if (keep(best, t, s, unit(both(local, both(scale, scale)))))
            return;
    }
    if (s->shape == AXLE && fabs(to.x) > 1e-9) { /* its ends */
        const double t = ((to.x > 0 ? -s->half.x : s->half.x) - (from.x - s->at.x)) / to.x;
        const vec local = both(sub(add(from, times(to, t)), s->at), scale);
        if (dot(local, local) < 1)
            keep(best, t, s, (vec){to.x > 0 ? -1 : 1, 0, 0});
    }
}

static hit meet(vec from, vec to, double within)
{
    hit best = {.distance = within};
    if (to.y < 0)
        keep(&best, -from.y / to.y, NULL, (vec){0, 1, 0});
    for (int i = 0; i < solid_count; i++) {
        const solid *s = &solids[i];
        /* Most solids lie behind, or are missed by their enclosing sphere. */
        const vec p = sub(s->at, from);
        const double along = dot(p, to), reach = dot(s->half, s->half);
        if (dot(p, p) - along * along > reach || (along < 0 && dot(p, p) > reach))
            continue;
        if (s->shape == FRUSTUM)
            meet_frustum(s, from, to, &best);
        else
            meet_round(s, from, to, &best);
    }
    return best;
}

/* -------------------------------------------------------------------------------------- surfaces */

static const double ROAD = 3.9, KERB = 4.1, PAVEMENT = 7.2;

static vec ground(vec p)
{
    const double side = fabs(p.x), grain = noise(times(p, 40)), patch = clouds((vec){p.x * 0.6, 0, p.z * 0.25});
    if (side < ROAD) {
        const bool dashes = side < 0.07 && fmod(p.z, 6) < 2.5, edge = fabs(side - 3.45) < 0.05;
        const vec asphalt = times((vec){0.33, 0.33, 0.35}, 0.75 + 0.18 * grain + 0.35 * patch);
        return dashes || edge ? mix(asphalt, (vec){0.85, 0.85, 0.82}, 0.75) : asphalt;
    }
    if (side < KERB)
        return times((vec){0.62, 0.61, 0.58}, 0.8 + 0.2 * grain);
    if (side < PAVEMENT) {
        const bool joint = fmod(side * 1.6, 1) < 0.04 || fmod(fabs(p.z) * 1.1, 1) < 0.03;
        return times((vec){0.56, 0.53, 0.50}, (joint ? 0.65 : 0.85) + 0.12 * grain + 0.15 * patch);
    }
    return mix((vec){0.22, 0.33, 0.12}, (vec){0.36, 0.42, 0.18}, noise(times(p, 9)));
}

static vec house_wall(const solid *s, vec p)
{
    /* Windows in storeys of 3 m, 2.2 m apart, with frames; brick between. */
    const double along = fabs(fabs(p.x - s->at.x) - s->half.x) < 0.02 ? p.z : p.x;
    const double column = fmod(fabs(along) + 0.3, 2.2), storey = fmod(p.y, 3);
    if (column > 0.55 && column < 1.65 && storey > 0.9 && storey < 2.4) {
        const bool frame = column < 0.63 || column > 1.57 || storey < 0.98 || storey > 2.32 || fabs(column - 1.1) < 0.03;
        return frame ? (vec){0.86, 0.86, 0.83}
                     : times((vec){0.22, 0.26, 0.31}, 0.7 + 0.8 * noise((vec){floor(along / 2.2), floor(p.y / 3), 1}));
    }
    const double row = floor(p.y / 0.15), shifted = along + (fmod(row, 2) > 0.5 ? 0.15 : 0);
    const bool mortar = fmod(p.y, 0.15) < 0.02 || fmod(fabs(shifted), 0.3) < 0.02;
    const vec brick = times(s->color, 0.8 + 0.25 * lattice((int)floor(shifted / 0.3), (int)row, 5) + 0.2 * clouds(times(p, 0.5)));
    return mortar ? mix(brick, (vec){0.7, 0.68, 0.64}, 0.6) : brick;
}

static vec sky(vec to)
{
    const double up = clamp(to.y);
    const vec blue = mix((vec){0.80, 0.86, 0.93}, (vec){0.45, 0.62, 0.88}, pow(up, 0.55));
    const double cover = clamp(3.2 * (clouds((vec){to.x / (up + 0.12) * 1.1, 0, to.z / (up + 0.12) * 1.1}) - 0.45));
    return mix(blue, (vec){0.97, 0.97, 0.97}, cover * 0.8);
}

static vec colour_of(const hit *h, vec p, vec to)
{
    if (!h->solid)
        return ground(p);
    const solid *s = h->solid;
    switch (s->surface) {
    case BRICK:
        return house_wall(s, p);
    case LEAVES:
        return times(mix(s->color, (vec){0.40, 0.48, 0.16}, noise(times(p, 5)) * 0.6), 0.55 + 0.75 * noise(times(p, 13)));
    case BARK:
    case ROOF:
    case CLOTH:
        return times(s->color, 0.75 + 0.4 * noise(times(p, 17)));
    case PAINT:
    case GLASS: { /* a mirror of the sky, the more the flatter one looks at it */
        const vec mirrored = sub(to, times(h->normal, 2 * dot(h->normal, to)));
        const double share = (s->surface == GLASS ? 0.25 : 0.08) + 0.5 * pow(1 - fabs(dot(h->normal, to)), 4);
        return mix(s->color, mirrored.y > 0 ? sky(mirrored) : (vec){0.3, 0.3, 0.3}, share);
    }
    case TYRE:
    case METAL:
    case SKIN:
    case LAMP:
        break;
    }
    return s->color;
}

static vec look(vec from, vec to)
{
    const vec sun = unit((vec){-0.55, 0.75, -0.35}), haze = {0.82, 0.86, 0.91};
    const hit h = meet(from, to, 400);
    if (h.distance >= 400)
        return sky(to);
    const vec p = add(from, times(to, h.distance));
    const bool leaves = h.solid && h.solid->surface == LEAVES;
    vec normal = h.normal;
    if (leaves) /* every leaf looks another way */
        normal = unit(add(normal, times((vec){noise(times(p, 11)) - 0.5, noise(times(p, 12)) - 0.4, noise(times(p, 10)) - 0.5}, 1.8)));
    double light = clamp(dot(normal, sun));
    if (light > 0) {
        const hit blocked = meet(add(p, times(h.normal, 2e-3)), sun, 60);
        if (blocked.distance < 60)
            light *= leaves ? 0.35 : 0.08;
    }
    /* Without sun: the sky above, and less of it near the ground between things. */
    const double open = 0.55 + 0.45 * clamp(normal.y * 0.5 + 0.5), near_ground = h.solid ? 0.75 + 0.25 * clamp(p.y / 0.8) : 1;
    const vec ambient = times((vec){0.50, 0.55, 0.63}, open * near_ground), direct = times((vec){0.86, 0.80, 0.70}, light);
    const vec lit = both(colour_of(&h, p, to), add(ambient, direct));
    return mix(lit, haze, 1 - exp(-h.distance / 260));
}

/* ------------------------------------------------------------------------------------- the street */

static void put_car(double x, double z, vec color, double toward) /* toward: 1 where its front looks ahead, -1 to us */
{
    const vec dark = {0.08, 0.09, 0.11};
    solid *body = put(FRUSTUM, PAINT, (vec){x, 0.62, z}, (vec){0.88, 0.32, 2.10}, color);
    body->top_x = 0.84;
    body->top_z = 1.98;
    put(FRUSTUM, TYRE, (vec){x, 0.27, z}, (vec){0.84, 0.09, 1.95}, times(dark, 0.8)); /* its shade */
    solid *cabin = put(FRUSTUM, GLASS, (vec){x, 1.14, z - 0.15 * toward}, (vec){0.80, 0.22, 1.32}, (vec){0.12, 0.15, 0.18});
    cabin->top_x = 0.64;
    cabin->top_z = 0.82;
    solid *roof = put(FRUSTUM, PAINT, (vec){x, 1.39, z - 0.15 * toward}, (vec){0.65, 0.035, 0.84}, color);
    roof->top_x = 0.58;
    roof->top_z = 0.74;
    for (int i = 0; i < 4; i++) {
        const double wheel_x = x + (i & 1 ? 0.80 : -0.80), wheel_z = z + (i & 2 ? 1.28 : -1.28);
        put(AXLE, TYRE, (vec){wheel_x, 0.32, wheel_z}, (vec){0.10, 0.32, 0.32}, (vec){0.05, 0.05, 0.055});
        put(AXLE, METAL, (vec){wheel_x + (i & 1 ? 0.02 : -0.02), 0.32, wheel_z}, (vec){0.10, 0.19, 0.19}, (vec){0.55, 0.56, 0.58});
    }
    for (int i = -1; i <= 1; i += 2) {
        put(ELLIPSOID, LAMP, (vec){x + 0.64 * i, 0.72, z - 2.02 * toward}, (vec){0.17, 0.10, 0.06}, (vec){0.75, 0.06, 0.05});
        put(ELLIPSOID, LAMP, (vec){x + 0.64 * i, 0.70, z + 2.02 * toward}, (vec){0.18, 0.10, 0.06}, (vec){0.95, 0.95, 0.88});
        put(ELLIPSOID, PAINT, (vec){x + 0.95 * i, 0.98, z + 0.55 * toward}, (vec){0.10, 0.07, 0.05}, color); /* mirrors */
    }
    put(FRUSTUM, LAMP, (vec){x, 0.58, z - 2.08 * toward}, (vec){0.26, 0.06, 0.02}, (vec){0.85, 0.80, 0.35}); /* number plates */
    put(FRUSTUM, LAMP, (vec){x, 0.50, z + 2.08 * toward}, (vec){0.26, 0.06, 0.02}, (vec){0.88, 0.88, 0.86});
}

static void put_tree(double x, double z, double height, int seed)
{
    const vec bark = {0.27, 0.21, 0.16}, green = {0.17 + 0.05 * lattice(seed, 1, 1), 0.30, 0.09};
    put(UPRIGHT, BARK, (vec){x, height * 0.25, z}, (vec){0.16, height * 0.25, 0.16}, bark);
    for (int i = 0; i < 16; i++) {
        const double angle = 6.283 * lattice(seed, i, 2), out = height * 0.20 * lattice(seed, i, 3),
                     size = height * (0.11 + 0.09 * lattice(seed, i, 4));
        const vec at = {x + out * cos(angle), height * (0.50 + 0.38 * lattice(seed, i, 5)), z + out * sin(angle)};
        put(ELLIPSOID, LEAVES, at, (vec){size * 1.15, size, size * 1.15}, green);
    }
}

static void put_house(double inner_x, double z, double depth, double height, vec color)
{
    const double half = 5, x = inner_x > 0 ? inner_x + half : inner_x - half;
    put(FRUSTUM, BRICK, (vec){x, height / 2, z}, (vec){half, height / 2, depth / 2}, color);
    solid *roof = put(FRUSTUM, ROOF, (vec){x, height + 1.3, z}, (vec){half + 0.3, 1.3, depth / 2}, (vec){0.30, 0.24, 0.22});
    roof->top_x = 0.4;
    put(FRUSTUM, BRICK, (vec){x + (x > 0 ? -2 : 2), height + 2.4, z + depth / 4}, (vec){0.4, 1.2, 0.5}, color); /* chimney */
    put(FRUSTUM, PAINT, (vec){inner_x, 1.05, z - depth / 4}, (vec){0.06, 1.05, 0.5}, (vec){0.16, 0.22, 0.30});  /* door */
}

static void put_lamp_post(double x, double z)
{
    const vec gray = {0.42, 0.44, 0.45};
    put(UPRIGHT, METAL, (vec){x, 3.1, z}, (vec){0.075, 3.1, 0.075}, gray);
    put(AXLE, METAL, (vec){x + (x > 0 ? -0.6 : 0.6), 6.15, z}, (vec){0.65, 0.05, 0.05}, gray);
    put(ELLIPSOID, LAMP, (vec){x + (x > 0 ? -1.2 : 1.2), 6.1, z}, (vec){0.34, 0.09, 0.15}, (vec){0.7, 0.7, 0.66});
}

static void put_person(double x, double z, vec coat, vec trousers)
{
    for (int i = -1; i <= 1; i += 2) {
        put(UPRIGHT, CLOTH, (vec){x + 0.10 * i, 0.44, z + 0.09 * i}, (vec){0.085, 0.40, 0.10}, trousers);
        put(ELLIPSOID, TYRE, (vec){x + 0.10 * i, 0.05, z + 0.09 * i - 0.05}, (vec){0.07, 0.06, 0.14}, (vec){0.08, 0.07, 0.06});
        put(ELLIPSOID, CLOTH, (vec){x + 0.27 * i, 1.12, z}, (vec){0.07, 0.33, 0.09}, coat);
    }
    put(ELLIPSOID, CLOTH, (vec){x, 1.12, z}, (vec){0.23, 0.40, 0.16}, coat);
    put(ELLIPSOID, SKIN, (vec){x, 1.61, z}, (vec){0.10, 0.14, 0.11}, (vec){0.74, 0.56, 0.46});
    put(ELLIPSOID, CLOTH, (vec){x, 1.68, z + 0.03}, (vec){0.11, 0.10, 0.11}, (vec){0.16, 0.11, 0.08}); /* hair */
}

static void build_street(void)
{
    static const vec bricks[] = {{0.52, 0.30, 0.24}, {0.60, 0.50, 0.38}, {0.47, 0.35, 0.30}, {0.64, 0.58, 0.50}, {0.56, 0.36, 0.28}};
    double z = 4;
    for (int i = 0; i < 11; i++) { /* both sides, closed rows of houses */
        const double depth = 9 + 3 * lattice(i, 7, 7);
        put_house(-9.2, z + depth / 2, depth, i % 3 ? 6 : 9, bricks[i % 5]);
        put_house(9.4, z + depth / 2 + 2, depth, i % 4 ? 6 : 9, bricks[(i + 2) % 5]);
        z += depth;
    }
    for (int i = 0; i < 5; i++) {
        put_tree(-6.6, 13 + 17.0 * i, 7.5 + lattice(i, 1, 8), i);
        put_tree(6.5, 21 + 18.0 * i, 7 + 1.5 * lattice(i, 2, 8), i + 20);
    }
    for (int i = 0; i < 4; i++)
        put_lamp_post(i % 2 ? 4.8 : -4.8, 9 + 16.0 * i);
    put(UPRIGHT, METAL, (vec){4.75, 1.3, 10.5}, (vec){0.05, 1.3, 0.05}, (vec){0.45, 0.46, 0.47}); /* a sign */
    put(ELLIPSOID, LAMP, (vec){4.75, 2.65, 10.45}, (vec){0.36, 0.36, 0.03}, (vec){0.78, 0.07, 0.08});
    put(ELLIPSOID, LAMP, (vec){4.75, 2.65, 10.42}, (vec){0.26, 0.26, 0.02}, (vec){0.93, 0.93, 0.92});
    put_car(-1.9, 12.5, (vec){0.50, 0.06, 0.07}, 1); /* driving on the left, as CamVid's do */
    put_car(-1.8, 34, (vec){0.55, 0.57, 0.60}, 1);
    put_car(2.0, 24, (vec){0.10, 0.17, 0.36}, -1);
    put_car(1.9, 52, (vec){0.82, 0.82, 0.80}, -1);
    put_car(3.05, 15.2, (vec){0.62, 0.64, 0.66}, -1); /* parked */
    put_person(-5.6, 11.5, (vec){0.18, 0.22, 0.40}, (vec){0.14, 0.14, 0.16});
    put_person(5.7, 15, (vec){0.58, 0.16, 0.14}, (vec){0.20, 0.22, 0.30});
    put_person(6.1, 15.4, (vec){0.25, 0.28, 0.22}, (vec){0.13, 0.12, 0.12});
}

static uint8_t byte_of(double linear)
{
    return (uint8_t)(255 * pow(clamp(linear), 1 / 1.25) + 0.5);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: draw_scene FILE.ppm\n");
        return 2;
    }
    uint8_t *rgb = malloc(3 * WIDTH * HEIGHT);
    FILE *file = rgb ? fopen(argv[1], "wb") : NULL;
    if (!file) {
        perror(argv[1]);
        free(rgb);
        return 1;
    }
    build_street();
    const vec eye = {-1.0, 1.55, 0};
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            vec sum = {0, 0, 0};
            for (int i = 0; i < SAMPLES * SAMPLES; i++) {
                const double right = (x + (i % SAMPLES + 0.5) / SAMPLES - WIDTH * 0.5) / HEIGHT,
                             down = (y + (i / SAMPLES + 0.5) / SAMPLES - HEIGHT * 0.47) / HEIGHT;
                sum = add(sum, look(eye, unit((vec){right + 0.02, -down, 0.86})));
            }
            sum = times(sum, 1.0 / (SAMPLES * SAMPLES));
            const double grain = 0.012 * (lattice(x, y, 99) - 0.5); /* a sensor's */
            uint8_t *to = rgb + 3 * ((size_t)y * WIDTH + (size_t)x);
            to[0] = byte_of(sum.x + grain);
            to[1] = byte_of(sum.y + grain);
            to[2] = byte_of(sum.z + grain);
        }
    bool written = fprintf(file, "P6\n%d %d\n255\n", WIDTH, HEIGHT) > 0 && fwrite(rgb, 3 * WIDTH, HEIGHT, file) == HEIGHT;
    written = !fclose(file) && written;
    free(rgb);
    if (!written)
        perror(argv[1]);
    return written ? 0 : 1;
}
