"""multiprocessing: a pool by fork, spawn and forkserver, shared memory, a queue, a semaphore."""

import multiprocessing
import multiprocessing.shared_memory


def square(number):
    return number * number


def fill(name, queue, semaphore):
    memory = multiprocessing.shared_memory.SharedMemory(name)
    with semaphore:
        memory.buf[0] += 1
    memory.close()
    queue.put("filled")


if __name__ == "__main__":
    for method in ("fork", "forkserver", "spawn"):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            print(method, sum(pool.map(square, range(50))))
            pool.close()
            pool.join()
    context = multiprocessing.get_context("fork")
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=100)
    queue, semaphore = context.Queue(), context.Semaphore(1)
    workers = [context.Process(target=fill, args=(memory.name, queue, semaphore)) for _ in range(3)]
    for worker in workers:
        worker.start()
    print([queue.get(timeout=30) for _ in workers])
    for worker in workers:
        worker.join()
    print(memory.buf[0])
    memory.close()
    memory.unlink()
