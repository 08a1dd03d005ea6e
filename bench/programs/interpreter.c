/* A bytecode interpreter's loop, `switch` and all, that runs a small program: the longest Collatz sequence below 1,500. */
#include "bench.h"

enum op { SET, COPY, ADD_I, MUL_I, SHIFT_RIGHT, AND_I, JUMP, JUMP_EQUAL_I, JUMP_LESS, HALT };

struct instruction {
	unsigned char op, a, b;
	int32_t immediate;
	int32_t target;
};

enum reg { N, HALF, X, STEPS, BEST, BEST_N, ODD, TOTAL, REGISTERS };

/* Targets are indexes. */
static const struct instruction program[] = {
	/*  0 */ {SET, N, 0, 1, 0},
	/*  1 */ {SET, BEST, 0, 0, 0},
	/*  2 */ {COPY, X, N, 0, 0},
	/*  3 */ {SET, STEPS, 0, 0, 0},
	/*  4 */ {JUMP_EQUAL_I, X, 0, 1, 13},
	/*  5 */ {ADD_I, STEPS, STEPS, 1, 0},
	/*  6 */ {ADD_I, TOTAL, TOTAL, 1, 0},
	/*  7 */ {AND_I, ODD, X, 1, 0},
	/*  8 */ {SHIFT_RIGHT, HALF, X, 1, 0},
	/*  9 */ {JUMP_EQUAL_I, ODD, 0, 0, 16},
	/* 10 */ {MUL_I, X, X, 3, 0},
	/* 11 */ {ADD_I, X, X, 1, 0},
	/* 12 */ {JUMP, 0, 0, 0, 4},
	/* 13 */ {JUMP_LESS, STEPS, BEST, 0, 18},
	/* 14 */ {COPY, BEST, STEPS, 0, 0},
	/* 15 */ {JUMP, 0, 0, 0, 18},
	/* 16 */ {COPY, X, HALF, 0, 0},
	/* 17 */ {JUMP, 0, 0, 0, 4},
	/* 18 */ {ADD_I, N, N, 1, 0},
	/* 19 */ {JUMP_EQUAL_I, N, 0, 1500, 21},
	/* 20 */ {JUMP, 0, 0, 0, 2},
	/* 21 */ {HALT, 0, 0, 0, 0},
};

static uint64_t unit(void)
{
	uint64_t regs[REGISTERS] = {0};
	const struct instruction *at = program;

	HIDE(at);
	for (;;) {
		const struct instruction *now = at++;

		switch ((enum op)now->op) {
		case SET:
			regs[now->a] = now->immediate;
			break;
		case COPY:
			regs[now->a] = regs[now->b];
			break;
		case ADD_I:
			regs[now->a] = regs[now->b] + now->immediate;
			break;
		case MUL_I:
			regs[now->a] = regs[now->b] * now->immediate;
			break;
		case SHIFT_RIGHT:
			regs[now->a] = regs[now->b] >> now->immediate;
			break;
		case AND_I:
			regs[now->a] = regs[now->b] & now->immediate;
			break;
		case JUMP:
			at = program + now->target;
			break;
		case JUMP_EQUAL_I:
			if (regs[now->a] == (uint64_t)now->immediate)
				at = program + now->target;
			break;
		case JUMP_LESS:
			if (regs[now->a] < regs[now->b])
				at = program + now->target;
			break;
		case HALT:
			return regs[BEST] << 32 | regs[TOTAL];
		}
	}
}

BENCHMARK("interpreter", "integer", "bytecode interpreter, 800,000 operations", 30, 0, unit, 0x000000b5000175ad);
