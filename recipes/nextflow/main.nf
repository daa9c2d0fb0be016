// From FASTQ on S3 to calls and a report: aligned straight into BAMS3, called contig by contig.
//
//   nextflow run recipes/nextflow/main.nf -profile batch --outdir s3://BUCKET/run1 \
//       --reads 's3://BUCKET/fastq/*_{1,2}.fq.gz' --reference s3://BUCKET/ref/ref.fa --queue QUEUE
//
// The reference has its .fai and the index of bwa beside it. Nothing but FASTQ and the reference is
// ever staged: the dataset is written to S3 as bwa goes, and each call reads its contig from there.

params.reads = null
params.reference = null
params.outdir = null

process ALIGN {
    tag "${sample}"

    input:
    tuple val(sample), path(fastq)
    tuple val(fasta), path(index)

    output:
    tuple val(sample), val("${params.outdir}/samples/${sample}.bams3")

    script:
    """
    bwa mem -t ${task.cpus} -R '@RG\\tID:${sample}\\tSM:${sample}' ${fasta} ${fastq} \\
        | bams3 convert --stdin '${params.outdir}/samples/${sample}.bams3' \\
            --workers ${task.cpus} --overwrite
    """
}

process CONTIGS {
    input:
    tuple val(fasta), path(index)

    output:
    path 'contigs.tsv'

    script:
    """
    awk '{ printf "%06d\\t%s\\n", NR, \$1 }' ${fasta}.fai > contigs.tsv
    """
}

process CALL {
    tag "${sample} ${contig}"

    input:
    tuple val(sample), val(dataset), val(number), val(contig)
    tuple val(fasta), path(index)

    output:
    tuple val(sample), path("${sample}.${number}.vcf.gz")

    script:
    """
    bams3 variants call '${dataset}' -f ${fasta} -r '${contig}' --workers ${task.cpus} \\
        -o ${sample}.${number}.vcf.gz --quiet
    """
}

process JOIN {
    tag "${sample}"
    publishDir "${params.outdir}/calls", mode: 'copy'

    input:
    tuple val(sample), path(parts)

    output:
    tuple val(sample), path("${sample}.vcf.gz"), path("${sample}.vcf.gz.tbi")

    script:
    """
    bcftools concat --no-version -Oz -o ${sample}.vcf.gz ${sample}.[0-9][0-9][0-9][0-9][0-9][0-9].vcf.gz
    bcftools index --tbi ${sample}.vcf.gz
    """
}

process REPORT {
    tag "${sample}"
    publishDir "${params.outdir}/calls", mode: 'copy'

    input:
    tuple val(sample), path(calls), path(index)

    output:
    path "${sample}.html"

    script:
    """
    bams3 variants report ${calls} -o ${sample}.html
    """
}

workflow {
    pairs = Channel.fromFilePairs(params.reads, checkIfExists: true)
    fasta = file(params.reference, checkIfExists: true)
    reference = [fasta.name, files("${params.reference}*")]

    datasets = ALIGN(pairs, reference)
    contigs = CONTIGS(reference).splitCsv(sep: '\t')
    JOIN(CALL(datasets.combine(contigs), reference).groupTuple())
    REPORT(JOIN.out)
}
