/* Five bodies under gravity, in double precision: additions, multiplications, a division and a square root for each pair. */
#include "bench.h"

#include <string.h>

#define BODIES 5
#define STEPS 40000
#define DT 0.001

struct body {
	double x[3];
	double v[3];
	double mass;
};

static struct body start[BODIES];

static void prepare(void)
{
	uint64_t random = 31;
	int i, axis;

	for (i = 0; i < BODIES; i++) {
		for (axis = 0; axis < 3; axis++) {
			/* Multiples of 2^-20 within ±4 and ±0.25. */
			start[i].x[axis] = (double)((int64_t)next_random(&random) >> 41) / (1 << 20);
			start[i].v[axis] = (double)((int64_t)next_random(&random) >> 45) / (1 << 20);
		}
		start[i].mass = i == 0 ? 40.0 : 1.0 / (1 + i);
	}
}

static double square_root(double x)
{
	__asm__("sqrtsd %0, %0" : "+x"(x));
	return x;
}

static uint64_t unit(void)
{
	struct body bodies[BODIES];
	int step, i, j;

	memcpy(bodies, start, sizeof(bodies));
	for (step = 0; step < STEPS; step++) {
		for (i = 0; i < BODIES; i++) {
			struct body *a = &bodies[i];

			for (j = i + 1; j < BODIES; j++) {
				struct body *b = &bodies[j];
				double dx = a->x[0] - b->x[0];
				double dy = a->x[1] - b->x[1];
				double dz = a->x[2] - b->x[2];
				double distance2 = dx * dx + dy * dy + dz * dz + 0.01;
				double pull = DT / (distance2 * square_root(distance2));

				a->v[0] -= dx * b->mass * pull;
				a->v[1] -= dy * b->mass * pull;
				a->v[2] -= dz * b->mass * pull;
				b->v[0] += dx * a->mass * pull;
				b->v[1] += dy * a->mass * pull;
				b->v[2] += dz * a->mass * pull;
			}
		}
		for (i = 0; i < BODIES; i++) {
			bodies[i].x[0] += DT * bodies[i].v[0];
			bodies[i].x[1] += DT * bodies[i].v[1];
			bodies[i].x[2] += DT * bodies[i].v[2];
		}
	}
	return sum_bytes(bodies, sizeof(bodies));
}

BENCHMARK("nbody", "float", "n-body in double precision, 40,000 steps", 20, prepare, unit, 0xceaa11ab059c1baf);
