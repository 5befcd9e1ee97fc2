#ifndef BENCH_NULL_EXECUTOR_H
#define BENCH_NULL_EXECUTOR_H

/* How many modules each project has. */
extern unsigned null_executor_modules;

#endif
