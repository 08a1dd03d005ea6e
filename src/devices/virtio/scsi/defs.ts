/**
 * Numbers of the SCSI host device (VIRTIO 1.2, section 5.6), and of the commands of SCSI that its disks know (SPC-4, SBC-3). In the
 * specifications' spelling; offsets and sizes are in bytes.
 *
 * @module
 */

/** struct virtio_scsi_config (5.6.4). */
export const SCSI_CONFIG_NUM_QUEUES = 0;
export const SCSI_CONFIG_SEG_MAX = 4;
export const SCSI_CONFIG_MAX_SECTORS = 8;
export const SCSI_CONFIG_CMD_PER_LUN = 12;
export const SCSI_CONFIG_EVENT_INFO_SIZE = 16;
export const SCSI_CONFIG_SENSE_SIZE = 20;
export const SCSI_CONFIG_CDB_SIZE = 24;
export const SCSI_CONFIG_MAX_CHANNEL = 28;
export const SCSI_CONFIG_MAX_TARGET = 30;
export const SCSI_CONFIG_MAX_LUN = 32;
export const SCSI_CONFIG_BYTES = 36;

export const VIRTIO_SCSI_SENSE_DEFAULT_SIZE = 96;
export const VIRTIO_SCSI_CDB_DEFAULT_SIZE = 32;
export const SCSI_EVENT_BYTES = 16;

/** Features (5.6.3). */
export const VIRTIO_SCSI_F_HOTPLUG = 1;
export const VIRTIO_SCSI_F_CHANGE = 2;

/** An event (5.6.6.3), whose reason is the additional sense code and its qualifier, and the unit attention for the same. */
export const VIRTIO_SCSI_T_PARAM_CHANGE = 3;
export const CAPACITY_DATA_HAS_CHANGED: readonly [key: number, code: number, qualifier: number] = [6, 0x2a, 9];

/** Queues (5.6.2): control, events, then those of requests. */
export const CONTROL_QUEUE = 0;
export const EVENT_QUEUE = 1;
export const FIRST_REQUEST_QUEUE = 2;

/** struct virtio_scsi_req_cmd: lun, id, task_attr, prio, crn; then the CDB and the data for the device. */
export const SCSI_REQ_HEADER_BYTES = 19;
export const SCSI_LUN_BYTES = 8;
/** Its answer: sense_len, residual, status_qualifier, status, response; then sense and the data from the device. */
export const SCSI_RESP_HEADER_BYTES = 12;
export const SCSI_RESP_SENSE_LEN = 0;
export const SCSI_RESP_RESIDUAL = 4;
export const SCSI_RESP_STATUS = 10;
export const SCSI_RESP_RESPONSE = 11;

export const VIRTIO_SCSI_S_OK = 0;
export const VIRTIO_SCSI_S_OVERRUN = 1;
export const VIRTIO_SCSI_S_BAD_TARGET = 3;
export const VIRTIO_SCSI_S_FAILURE = 9;
export const VIRTIO_SCSI_S_FUNCTION_COMPLETE = 0;
export const VIRTIO_SCSI_S_FUNCTION_REJECTED = 11;
export const VIRTIO_SCSI_S_INCORRECT_LUN = 12;

/** Requests of the control queue (5.6.6.2). */
export const VIRTIO_SCSI_T_TMF = 0;
export const VIRTIO_SCSI_T_AN_QUERY = 1;
export const VIRTIO_SCSI_T_AN_SUBSCRIBE = 2;
export const VIRTIO_SCSI_T_TMF_ABORT_TASK = 0;
export const VIRTIO_SCSI_T_TMF_ABORT_TASK_SET = 1;
export const VIRTIO_SCSI_T_TMF_CLEAR_TASK_SET = 3;
export const VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET = 4;
export const VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET = 5;
/** type, subtype, lun, id; the answer is one byte. */
export const SCSI_TMF_BYTES = 24;
/** type, lun, event_requested; the answer is event_actual and a byte. */
export const SCSI_AN_BYTES = 16;
export const SCSI_AN_ANSWER_BYTES = 5;

/** Statuses of SAM-5. */
export const GOOD = 0;
export const CHECK_CONDITION = 2;

/** Operation codes. */
export const TEST_UNIT_READY = 0x00;
export const REQUEST_SENSE = 0x03;
export const READ_6 = 0x08;
export const WRITE_6 = 0x0a;
export const INQUIRY = 0x12;
export const MODE_SENSE_6 = 0x1a;
export const READ_CAPACITY_10 = 0x25;
export const READ_10 = 0x28;
export const WRITE_10 = 0x2a;
export const SYNCHRONIZE_CACHE_10 = 0x35;
export const WRITE_SAME_10 = 0x41;
export const UNMAP = 0x42;
export const MODE_SENSE_10 = 0x5a;
export const READ_16 = 0x88;
export const WRITE_16 = 0x8a;
export const SYNCHRONIZE_CACHE_16 = 0x91;
export const WRITE_SAME_16 = 0x93;
export const SERVICE_ACTION_IN_16 = 0x9e;
export const READ_CAPACITY_16 = 0x10;
export const REPORT_LUNS = 0xa0;
export const READ_12 = 0xa8;
export const WRITE_12 = 0xaa;
