# SPDX-License-Identifier: Apache-2.0
# The target gossamer_cuda. CMAKE_CUDA_ARCHITECTURES says for which GPUs: 90 by default, and
# "80-real;86-real;89-real;90" in a release (code for these, and PTX for newer ones).
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 90)
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(CMAKE_CUDA_STANDARD 20)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION) # Debian 12's CMake does not know that nvcc has it
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY Static) # it finds the driver when it is first used

file(GLOB_RECURSE GOSSAMER_CUDA_SOURCES CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/src/*_cuda*.cu ${PROJECT_SOURCE_DIR}/src/cuda/*.cu)
set(GOSSAMER_HOPPER_SOURCES ${GOSSAMER_CUDA_SOURCES})
list(FILTER GOSSAMER_CUDA_SOURCES EXCLUDE REGEX "_sm90a\\.cu$")
list(FILTER GOSSAMER_HOPPER_SOURCES INCLUDE REGEX "_sm90a\\.cu$")

function(gossamer_cuda_options target)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr -Xcompiler=-Wall>)
endfunction()

add_library(gossamer_cuda ${GOSSAMER_CUDA_SOURCES})
add_library(gossamer::gossamer_cuda ALIAS gossamer_cuda)
set_target_properties(gossamer_cuda PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
gossamer_cuda_options(gossamer_cuda)
target_link_libraries(gossamer_cuda PUBLIC gossamer PRIVATE CUDA::cudart_static)

# Hopper's own instructions exist under the target 90a alone.
if(GOSSAMER_HOPPER_SOURCES)
  add_library(gossamer_hopper OBJECT ${GOSSAMER_HOPPER_SOURCES})
  gossamer_cuda_options(gossamer_hopper)
  set_target_properties(gossamer_hopper PROPERTIES CUDA_ARCHITECTURES 90a-real)
  target_sources(gossamer_cuda PRIVATE $<TARGET_OBJECTS:gossamer_hopper>)
endif()
