export default (data) => data;
