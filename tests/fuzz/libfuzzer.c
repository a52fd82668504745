/* libFuzzer's side of a target: after most mutations checksums are made right again (fuzz.h), where a target has
 * any. */
#include "fuzz/fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (fuzz_repair != NULL && seed % 8 != 0)
        fuzz_repair(data, size);
    return size;
}
